// Order, failure and closing of streams, on the real engine thread.
#include "core/stream.h"

#include <atomic>
#include <cmath>
#include <thread>
#include <vector>

#include "core/environment.h"
#include "cpu/device.h"
#include "harness.h"

namespace {

struct Log {
  std::vector<int64_t> values;
};

void enqueue(gt::Stream& stream, Log& log, int64_t value, bool fails = false) {
  gt::Command& command = stream.next();
  command.def = nullptr;
  command.argc = 3;
  command.always = command.waits = 0;
  command.args[0].pointer = &log;
  command.args[1].integer = value;
  command.args[2].integer = fails;
  command.run = [](const gt::Command& c) {
    if (c.args[2].integer)
      gt::fail(gt::ErrorCode::index_out_of_range, "value %lld", static_cast<long long>(c.args[1].integer));
    static_cast<Log*>(c.args[0].pointer)->values.push_back(c.args[1].integer);
  };
  stream.submit();
}

}  // namespace

TEST(stream_executes_in_order_past_its_capacity) {
  gt::Stream stream(gt::cpu::engine(), std::make_unique<gt::Backend>());
  Log log;
  const int64_t count = 3 * static_cast<int64_t>(gt::Stream::kCapacity) + 17;
  for (int64_t i = 0; i < count; i++) enqueue(stream, log, i);
  stream.wait_idle();
  CHECK(static_cast<int64_t>(log.values.size()) == count);
  bool ordered = true;
  for (int64_t i = 0; i < count; i++) ordered &= log.values[static_cast<size_t>(i)] == i;
  CHECK(ordered);
}

TEST(stream_skips_what_follows_a_failure_until_it_is_resumed) {
  gt::Stream stream(gt::cpu::engine(), std::make_unique<gt::Backend>());
  Log log;
  enqueue(stream, log, 1);
  enqueue(stream, log, 2, true);
  enqueue(stream, log, 3);
  enqueue(stream, log, 4, true);  // the first failure is the one that is told
  stream.wait_idle();
  const gt::Failure* failure = stream.failure();
  CHECK(failure != nullptr);
  CHECK(failure && failure->code == gt::ErrorCode::index_out_of_range);
  CHECK(failure && failure->message == "value 2");
  CHECK(failure && failure->sequence == 2);
  CHECK(log.values == std::vector<int64_t>{1});
  stream.resume();
  enqueue(stream, log, 5);
  stream.wait_idle();
  CHECK(stream.failure() == nullptr);
  CHECK((log.values == std::vector<int64_t>{1, 5}));
}

TEST(stream_closes_with_work_still_enqueued) {
  for (int round = 0; round < 50; round++) {
    Log log;
    gt::Stream stream(gt::cpu::engine(), std::make_unique<gt::Backend>());
    for (int64_t i = 0; i < 2000; i++) enqueue(stream, log, i);
    stream.close();
    const size_t executed = log.values.size();
    CHECK(executed <= 2000);
    std::this_thread::yield();
    CHECK(log.values.size() == executed);
  }
}

TEST(streams_of_several_threads_share_the_engine) {
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++) {
    threads.emplace_back([&wrong] {
      gt::Stream stream(gt::cpu::engine(), std::make_unique<gt::Backend>());
      Log log;
      for (int64_t i = 0; i < 5000; i++) enqueue(stream, log, i);
      stream.wait_idle();
      for (int64_t i = 0; i < 5000; i++) wrong += log.values[static_cast<size_t>(i)] != i;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

TEST(environment_refuses_stale_and_foreign_ids) {
  gt::Environment environment;
  environment.mailbox[0] = 4;
  const double id = environment.create(0, 1, false, 0);
  CHECK(environment.find(id)->numel == 4);
  CHECK(environment.release(id));
  CHECK(!environment.release(id));
  CHECK_THROWS(environment.find(id), gt::ErrorCode::disposed);
  const double again = environment.create(0, 1, false, 0);
  CHECK(again != id);
  for (const double bad :
       {0.0, -1.0, 0.5, 1e300, 4e15, static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    CHECK_THROWS(environment.find(bad), gt::ErrorCode::disposed);
  }
  CHECK(environment.live_tensors() == 1);
}

TEST(environment_refuses_impossible_shapes) {
  gt::Environment environment;
  for (const double bad : {-1.0, 0.5, 1e300, static_cast<double>(NAN)}) {
    environment.mailbox[0] = bad;
    CHECK_THROWS(environment.create(0, 1, false, 0), gt::ErrorCode::shape);
  }
  for (int i = 0; i < 8; i++) environment.mailbox[i] = 4503599627370496.0;
  CHECK_THROWS(environment.create(0, 8, false, 0), gt::ErrorCode::out_of_memory);
  environment.mailbox[0] = 0;
  CHECK(environment.find(environment.create(0, 8, false, 0))->numel == 0);
  CHECK_THROWS(environment.create(0, 9, false, 0), gt::ErrorCode::shape);
  CHECK_THROWS(environment.create(0, -1, false, 0), gt::ErrorCode::shape);
  CHECK_THROWS(environment.create(17, 1, false, 0), gt::ErrorCode::dtype);
  CHECK_THROWS(environment.create(0, 1, false, -1), gt::ErrorCode::device);
  CHECK_THROWS(environment.create(0, 1, false, 99), gt::ErrorCode::device);
}

TEST(environment_views_stay_inside_their_base) {
  gt::Environment environment;
  environment.mailbox[0] = 10;
  const double base = environment.create(0, 1, false, 0);
  environment.mailbox[0] = 5;
  environment.mailbox[8] = 2;
  const double view = environment.view(base, 1, 1);
  CHECK(environment.find(view)->data<float>() == environment.find(base)->data<float>() + 1);
  CHECK_THROWS(environment.view(base, 1, 2), gt::ErrorCode::shape);
  CHECK_THROWS(environment.view(base, 1, -1), gt::ErrorCode::shape);
  CHECK_THROWS(environment.view(base, 1, INT64_MAX), gt::ErrorCode::shape);
  environment.mailbox[8] = 4503599627370496.0;
  CHECK_THROWS(environment.view(base, 1, 0), gt::ErrorCode::shape);
  environment.mailbox[0] = 0;
  CHECK(environment.find(environment.view(base, 1, 10))->numel == 0);
  // The memory lives as long as one view of it.
  environment.release(base);
  environment.find(view)->data<float>()[8] = 1;  // AddressSanitizer would see this
  environment.release(view);
  CHECK(environment.live_tensors() == 1);
}

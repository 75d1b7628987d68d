#include "core/chain.h"

#include <algorithm>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>

#include "core/widen.h"
#include "cpu/chain.h"
#include "cpu/parallel.h"

namespace gt {

namespace {

// From here on, memory and forks cost more than calling kernels once per piece.
constexpr int64_t kLeast = 4 * kPieceElements;
static_assert(kPieceElements < cpu::kGrain && kPieceElements % 64 == 0);

bool fills_its_memory(const Tensor& t) {
  int64_t last = 0;
  for (int d = 0; d < t.rank; d++) last += (t.shape[d] - 1) * t.strides[d];
  return last == t.numel - 1;
}

bool lie_alike(const Tensor& a, const Tensor& b) {
  if (a.rank != b.rank) return false;
  for (int d = 0; d < a.rank; d++) {
    if (a.shape[d] != b.shape[d] || (a.shape[d] > 1 && a.strides[d] != b.strides[d])) return false;
  }
  return true;
}

// A profile may outlive the chain, so names stay; there are only as many as kinds of chains.
const char* name_of(const std::vector<Command>& commands) {
  static std::mutex mutex;
  static std::set<std::string> names;
  std::string name;
  for (const Command& command : commands) {
    if (!name.empty()) name += '+';
    name += command.def->name;
  }
  const std::lock_guard lock(mutex);
  return names.insert(name).first->c_str();
}

bool is_written(ArgKind kind) {
  return kind == ArgKind::out || kind == ArgKind::inout || kind == ArgKind::opt_out;
}

// Grows a chain command by command.
class Growing {
 public:
  // Whether the command fits in; if so, it is in.
  bool add(const Command& command) {
    if (!command.def->pointwise || command.def->device != DeviceType::cpu) return false;
    const Tensor* all = all_;
    std::vector<Use> uses;
    bool half = false, wide = false;
    for (uint32_t i = 0; i < command.argc; i++) {
      const ArgKind kind = command.def->kinds[i];
      const Tensor* const t = command.args[i].tensor;
      if (!is_tensor(kind) || !t) continue;
      half = half || is_half_type(t->dtype);
      wide = wide || t->dtype == Dtype::f32 || t->dtype == Dtype::f64;
      const bool scalar = t->numel == 1;
      if (!scalar) {
        if (!all) {
          if (t->numel < kLeast || !fills_its_memory(*t)) return false;
          all = t;
        }
        if (!lie_alike(*t, *all)) return false;
      } else if (is_written(kind)) {
        return false;
      }
      uses.push_back({t, is_written(kind)});
    }
    // Mixtures may need copies, which are not for pieces; see Note [16-bit floats].
    if (!all || (half && wide && command.def != conversion())) return false;
    for (const Use& use : uses) {
      for (const auto* others : {&uses_, &uses}) {
        for (const Use& other : *others) {
          if (other.tensor->storage != use.tensor->storage || !(use.written || other.written)) continue;
          // Element by element the same, or an element would be read or written in another order.
          if (other.tensor->raw != use.tensor->raw || other.tensor->numel != use.tensor->numel ||
              dtype_size(other.tensor->dtype) != dtype_size(use.tensor->dtype))
            return false;
        }
      }
    }
    uses_.insert(uses_.end(), uses.begin(), uses.end());
    all_ = all;
    return true;
  }

 private:
  struct Use {
    const Tensor* tensor;
    bool written;
  };
  static const KernelDef* conversion() {
    static const KernelDef& copy = kernel("copy", DeviceType::cpu);
    return &copy;
  }

  const Tensor* all_ = nullptr;  // one of those that are worked through
  std::vector<Use> uses_;
};

}  // namespace

size_t chain_length(const std::vector<const Command*>& commands, size_t first) {
  Growing chain;
  size_t end = first;
  while (end < commands.size() && commands[end] && chain.add(*commands[end])) end++;
  return end - first;
}

Chain::Chain(std::vector<Command> commands) : commands_(std::move(commands)), threads_(cpu::thread_count()) {
  std::unordered_map<const Tensor*, int> known;
  for (const Command& command : commands_) {
    for (int i = 0; i < kMaxArgs; i++) {
      const bool present = i < command.argc && is_tensor(command.def->kinds[i]) && command.args[i].tensor;
      if (!present) {
        places_.push_back(-1);
        continue;
      }
      const Tensor* const t = command.args[i].tensor;
      const auto [at, added] = known.emplace(t, static_cast<int>(operands_.size()));
      if (added) operands_.push_back({t, false, t->numel == 1});
      Operand& operand = operands_[static_cast<size_t>(at->second)];
      operand.written = operand.written || is_written(command.def->kinds[i]);
      numel_ = std::max(numel_, t->numel);
      places_.push_back(at->second);
    }
  }
}

bool Chain::fits() const {
  const auto in_memory = [](const Operand& operand) { return operand.slot < 0; };
  return std::count_if(operands_.begin(), operands_.end(), in_memory) < kMaxArgs;
}

// Tensors of one memory share a slot, which is free again after their last command.
void Chain::assign_slots() {
  std::unordered_map<const Storage*, size_t> last;
  for (size_t c = 0; c < commands_.size(); c++) {
    for (size_t i = 0; i < commands_[c].argc; i++) {
      if (const int place = operand(c, i); place >= 0)
        last[operands_[static_cast<size_t>(place)].whole->storage] = c;
    }
  }
  std::unordered_map<const Storage*, int> slots;
  std::vector<int> free;
  for (size_t c = 0; c < commands_.size(); c++) {
    for (size_t i = 0; i < commands_[c].argc; i++) {
      const int place = operand(c, i);
      if (place < 0 || operands_[static_cast<size_t>(place)].slot < 0) continue;
      const Storage* const storage = operands_[static_cast<size_t>(place)].whole->storage;
      if (slots.contains(storage)) continue;
      if (free.empty()) free.push_back(static_cast<int>(slots_++));
      slots[storage] = free.back();
      free.pop_back();
    }
    for (const auto& [storage, slot] : slots) {
      if (last[storage] == c) free.push_back(slot);
    }
  }
  for (Operand& operand : operands_) {
    if (operand.slot >= 0) operand.slot = slots[operand.whole->storage];
  }
}

Command Chain::command() {
  Command command = commands_.front();
  def_ = {name_of(commands_), "", DeviceType::cpu, 0, 0, {}, nullptr, true, false, kKeepsNothing};
  def_.run = [](const Command& c) { cpu::run_chain(*static_cast<const Chain*>(c.args[c.argc - 1].pointer)); };
  uint8_t argc = 0;
  for (const Operand& operand : operands_) {
    if (operand.slot >= 0) continue;
    def_.kinds[argc] = operand.written ? ArgKind::out : ArgKind::in;
    command.args[argc++].tensor = operand.whole;
  }
  def_.kinds[argc] = ArgKind::integer;
  command.args[argc++].pointer = this;
  def_.argc = argc;
  command.def = &def_;
  command.run = def_.run;
  command.argc = argc;
  return command;
}

}  // namespace gt

// The progress of a training: one line that is rewritten, or plain lines where that is not possible.
import cliProgress from "cli-progress";
import { count, paint, print, type Terminal } from "./terminal.js";

export interface Step {
  epoch: number;
  step: number;
  samples: number;
  /** Means over the epoch so far. */
  loss: number;
  accuracy: number;
}

export interface Progress {
  update(step: Step): void;
  /** Tells the end of an epoch. */
  epoch(step: Step): void;
  /** Removes the line. Safe to call twice. */
  stop(): void;
}

export function makeProgress(terminal: Terminal, epochs: number, steps: number): Progress {
  const speed = new Speed();
  return terminal.interactive ? bar(terminal, epochs, steps, speed) : lines(terminal, epochs, steps, speed);
}

/** `step 40/900  9,527 items/s  ETA 0:12  loss 0.4969  accuracy 85.3 %` */
function facts(step: Step, steps: number, speed: Speed): string {
  const place = `step ${String(step.step).padStart(String(steps).length)}/${steps}`;
  if (step.step === 0) return place;
  return [
    place,
    `${count(Math.round(speed.samplesPerSecond))} items/s`,
    `ETA ${clock(speed.remaining(steps - step.step))}`,
    `loss ${step.loss.toFixed(4)}`,
    `accuracy ${(100 * step.accuracy).toFixed(1)} %`,
  ].join("  ");
}

/** 0:07, 12:34, 1:02:03. */
function clock(seconds: number): string {
  const s = Math.ceil(seconds);
  const two = (n: number) => String(n).padStart(2, "0");
  const minutes = Math.floor(s / 60);
  if (minutes < 60) return `${minutes}:${two(s % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(s % 60)}`;
}

function bar(terminal: Terminal, epochs: number, steps: number, speed: Speed): Progress {
  let shown: Step = { epoch: 1, step: 0, samples: 0, loss: NaN, accuracy: NaN };
  // The room for the track is that beside the longest line, so that its length does not change; epochs go first
  // where there is none.
  const longest =
    `step ${steps}/${steps}  99,999 items/s  ETA 00:00  loss 0.0000  accuracy 100.0 %`.length + 4;
  const headWidth = `epoch ${epochs}/${epochs}  `.length;
  const room = terminal.columns - longest - headWidth;
  const width = room < 8 ? 0 : Math.min(room - 2, 24);
  const line = (): string => {
    const head = room < 0 ? "" : `epoch ${String(shown.epoch).padStart(String(epochs).length)}/${epochs}  `;
    const done = Math.round((width * shown.step) / steps);
    const track = `${paint(terminal, "cyan", "━".repeat(done))}${paint(terminal, "dim", "━".repeat(width - done))}`;
    return `  ${head}${width > 0 ? `${track}  ` : ""}${facts(shown, steps, speed)}`;
  };
  const view = new cliProgress.SingleBar({
    format: line,
    stream: terminal.out as NodeJS.WritableStream,
    fps: 12,
    hideCursor: true,
    clearOnComplete: true,
    stopOnComplete: false,
    // Signals are handled in interrupt.ts.
    gracefulExit: false,
    emptyOnZero: true,
  });
  view.start(steps, 0);
  let stopped = false;
  return {
    update(step) {
      shown = step;
      speed.add(step);
      view.update(step.step);
    },
    epoch() {},
    stop() {
      if (stopped) return;
      stopped = true;
      view.stop();
    },
  };
}

/** One line per epoch, and more of them if an epoch takes long. */
function lines(terminal: Terminal, epochs: number, steps: number, speed: Speed): Progress {
  const patience = 10_000;
  let last = performance.now();
  const tell = (step: Step) => {
    last = performance.now();
    const epoch = String(step.epoch).padStart(String(epochs).length);
    print(terminal, `  epoch ${epoch}/${epochs}  ${facts(step, steps, speed)}`);
  };
  return {
    update(step) {
      speed.add(step);
      if (performance.now() - last > patience) tell(step);
    },
    epoch: tell,
    stop() {},
  };
}

/** Speed over the last two seconds, so that it follows changes and does not flicker. */
class Speed {
  private readonly marks: { time: number; step: number; samples: number }[] = [
    { time: performance.now(), step: 0, samples: 0 },
  ];

  add({ step, samples }: Step): void {
    const last = this.marks[this.marks.length - 1];
    const time = performance.now();
    // Steps come in groups; those that came together are one mark.
    if (time - last.time < 20 && this.marks.length > 1) {
      last.step = step;
      last.samples += samples;
    } else this.marks.push({ time, step, samples: last.samples + samples });
    while (this.marks.length > 2 && time - this.marks[1].time > 2000) this.marks.shift();
  }

  private per(field: "step" | "samples"): number {
    const first = this.marks[0];
    const last = this.marks[this.marks.length - 1];
    return (1000 * (last[field] - first[field])) / Math.max(last.time - first.time, 1e-3);
  }

  get samplesPerSecond(): number {
    return this.per("samples");
  }

  remaining(steps: number): number {
    return steps === 0 ? 0 : steps / this.per("step");
  }
}

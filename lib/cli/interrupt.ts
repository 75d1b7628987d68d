// Signals: the first one asks for an end after the step at work, the second one ends the process at once. Files are written
// atomically, so that neither loses any.
const exitCodes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

export interface Interrupt {
  /** Aborted by the first signal. */
  signal: AbortSignal;
  /** What to exit with: 0, or 128 + the number of the signal that came. */
  exitCode(): number;
  /** Stops listening, unless a signal came: a second one is then expected until the very end of the process. */
  dispose(): void;
}

export function listenForSignals(onFirst: () => void): Interrupt {
  const controller = new AbortController();
  let code = 0;
  const listeners = (Object.keys(exitCodes) as (keyof typeof exitCodes)[]).map((name) => {
    const listener = () => {
      if (code !== 0) process.exit(exitCodes[name]);
      code = exitCodes[name];
      onFirst();
      controller.abort();
    };
    process.on(name, listener);
    return [name, listener] as const;
  });
  return {
    signal: controller.signal,
    exitCode: () => code,
    dispose: () => {
      if (code !== 0) return;
      for (const [name, listener] of listeners) process.off(name, listener);
    },
  };
}

// Files: failures of the system as typed errors, whole reads, and writes that happen entirely or not at all.
import { createHash } from "node:crypto";
import { promises as fs } from "node:fs";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";
import { threadId } from "node:worker_threads";
import { show } from "../dtype.js";
import { ArgumentError, FileError } from "../errors.js";

type FileHandle = fs.FileHandle;

// One system call moves at most 2 GiB; pieces of this size also keep an abort of the process short.
const pieceBytes = 64 * 2 ** 20;

export function checkPath(op: string, path: unknown, argument = "path"): string {
  if (typeof path === "string" && path.length > 0 && !path.includes("\0")) return path;
  throw new ArgumentError(`${argument} must be the path of a file, not ${show(path)}`, {
    op,
    argument,
    value: path,
  });
}

const advice: Record<string, [what: string, hint?: string]> = {
  ENOENT: ["there is no such file or folder"],
  EACCES: ["permission is denied"],
  EPERM: ["permission is denied"],
  EISDIR: ["it is a folder, not a file"],
  ENOTDIR: ["a part of the path is no folder"],
  ENOSPC: ["the disk is full", "free some space; an existing file is untouched"],
  EDQUOT: ["the disk quota is used up", "free some space; an existing file is untouched"],
  EROFS: ["the file system is read-only"],
  EMFILE: ["too many files are open", "close some, or raise `ulimit -n`"],
  ENFILE: ["too many files are open on this system"],
  ENAMETOOLONG: ["the path is too long"],
  ELOOP: ["the path runs through too many symbolic links"],
};

/** What the system said about a file, as a {@link FileError} that names the file. */
export function fileError(op: string, path: string, action: string, cause: unknown): FileError {
  const code = (cause as NodeJS.ErrnoException | null)?.code ?? "";
  const [what, hint] = advice[code] ?? [cause instanceof Error ? cause.message : String(cause)];
  return new FileError(`cannot ${action} ${show(path)}, ${what}${code ? ` (${code})` : ""}`, {
    op,
    path,
    hint,
    cause,
  });
}

/** Opens a regular file for reading. Looks before it opens: opening a pipe would wait for its writer forever. */
export async function openFile(op: string, path: string): Promise<{ handle: FileHandle; size: number }> {
  let handle: FileHandle | undefined;
  try {
    if ((await fs.stat(path)).isFile()) {
      handle = await fs.open(path, "r");
      return { handle, size: (await handle.stat()).size };
    }
  } catch (cause) {
    await handle?.close();
    throw fileError(op, path, "read", cause);
  }
  throw new FileError(`cannot read ${show(path)}, it is no regular file`, { op, path });
}

/** Fills `into` from the file, or throws: a file that is shorter than it was is a lie too. */
export async function readExactly(
  op: string,
  path: string,
  handle: FileHandle,
  into: Uint8Array,
  position: number,
): Promise<void> {
  let done = 0;
  while (done < into.length) {
    let bytesRead: number;
    try {
      const length = Math.min(into.length - done, pieceBytes);
      ({ bytesRead } = await handle.read(into, done, length, position + done));
    } catch (cause) {
      throw fileError(op, path, "read", cause);
    }
    if (bytesRead === 0) {
      throw new FileError(
        `${show(path)} ends at byte ${position + done}, before byte ${position + into.length}`,
        {
          op,
          path,
        },
      );
    }
    done += bytesRead;
  }
}

/** Reads all of a regular file of at most `limit` bytes. */
export async function readFile(op: string, path: string, limit: number): Promise<Uint8Array<ArrayBuffer>> {
  const { handle, size } = await openFile(op, path);
  try {
    if (size > limit)
      throw new FileError(`${show(path)} has ${size} bytes, more than ${limit}`, { op, path });
    const bytes = new Uint8Array(size);
    await readExactly(op, path, handle, bytes, 0);
    return bytes;
  } finally {
    await handle.close();
  }
}

// Note [Atomic writes]. A reader sees the old file or the new one, whole, whatever happens in between: the bytes go to
// a temporary file in the same folder (a rename works only within a file system), reach the disk, and then take the
// name; the folder is synced so that the rename survives a power cut. A process that is killed leaves its temporary
// file; the next write to the same path on the same host removes it.
const writing = new Set<string>();
let serial = 0;

function shortHash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}

/** Writes bytes one after the other, in pieces. */
export type Sink = (bytes: Uint8Array) => Promise<void>;

/**
 * Makes or replaces the file at `path` with what `produce` sends to its sink; see Note [Atomic writes]. A symbolic link
 * is followed, and the mode of an existing file is kept. If anything fails, `path` is as it was.
 */
export async function writeAtomically(
  op: string,
  path: string,
  produce: (sink: Sink) => Promise<void>,
): Promise<void> {
  const target = await fs.realpath(path).catch(() => path);
  const folder = dirname(target);
  const existing = await fs.stat(target).catch(() => null);
  if (existing && !existing.isFile())
    throw new FileError(`cannot write ${show(path)}, it is no regular file`, { op, path });

  // Hashes, because the name of the target with an addition may be longer than a name can be.
  const prefix = `.gradtape-${shortHash(basename(target))}-${shortHash(hostname())}-`;
  await removeStale(folder, prefix);
  const temporary = join(folder, `${prefix}${process.pid}-${threadId}-${++serial}.tmp`);
  let handle: FileHandle | undefined;
  writing.add(temporary);
  try {
    handle = await fs.open(temporary, "wx", 0o666);
    if (existing) await handle.chmod(existing.mode & 0o7777);
    const out = handle;
    await produce((bytes) => writeAll(out, bytes));
    await handle.sync();
    await handle.close();
    handle = undefined;
    await fs.rename(temporary, target);
    await syncFolder(folder);
  } catch (cause) {
    await handle?.close().catch(() => {});
    await fs.unlink(temporary).catch(() => {});
    // Errors of `produce`, such as a disposed tensor, are already what they should be.
    throw (cause as NodeJS.ErrnoException | null)?.syscall ? fileError(op, path, "write", cause) : cause;
  } finally {
    writing.delete(temporary);
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, Math.min(bytes.length - done, pieceBytes));
    done += bytesWritten;
  }
}

async function syncFolder(folder: string): Promise<void> {
  // Windows cannot open a folder, and some network file systems cannot sync one; the rename has happened anyway.
  const handle = await fs.open(folder, "r").catch(() => null);
  if (!handle) return;
  try {
    await handle.sync();
  } catch (cause) {
    if (!["EINVAL", "ENOTSUP", "EPERM", "EISDIR"].includes((cause as NodeJS.ErrnoException).code ?? ""))
      throw cause;
  } finally {
    await handle.close();
  }
}

/** Removes temporary files for the same target whose process is gone. */
async function removeStale(folder: string, prefix: string): Promise<void> {
  const names = await fs.readdir(folder).catch(() => [] as string[]);
  for (const name of names) {
    if (!name.startsWith(prefix)) continue;
    const match = /^(\d+)-(\d+)-\d+\.tmp$/.exec(name.slice(prefix.length));
    if (!match) continue;
    const path = join(folder, name);
    const own = Number(match[1]) === process.pid;
    const stale = own ? Number(match[2]) === threadId && !writing.has(path) : !isAlive(Number(match[1]));
    if (stale) await fs.unlink(path).catch(() => {});
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

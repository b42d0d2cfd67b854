/**
 * What a process takes of the machine's memory.
 *
 * Owns: reading it from the system. Where the system does not tell memory of its own from pages of files, the former is left out.
 */
import { readFileSync } from 'node:fs';

export interface ProcessMemory {
  /** Resident set, bytes: pages of the mapped data file are in it, which the system takes back when it needs them. */
  resident: number;
  /** The largest that it has been. */
  residentMost: number;
  /** What belongs to the process alone: heaps, buffers, stacks. */
  own: number | undefined;
}

export function processMemory(): ProcessMemory {
  return {
    resident: process.memoryUsage.rss(),
    residentMost: process.resourceUsage().maxRSS * 1_024,
    own: ownBytes(),
  };
}

function ownBytes(): number | undefined {
  try {
    const [, kib] = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
    return kib === undefined ? undefined : Number(kib) * 1_024;
  } catch {
    return undefined;
  }
}

/**
 * The way back from columns of instrumented code to those of the code that was given.
 *
 * Owns: reading the list of insertions. Does not own: what is inserted (instrument.ts, whose I2 this rests on: every line
 * has its own insertions only).
 */

/** @param insertions line (from 1), column (from 0) and length of each, one after the other */
export function columnFinder(insertions: Int32Array): (line: number, column: number) => number {
  const byLine = new Map<number, { column: number; length: number }[]>();
  for (let at = 0; at < insertions.length; at += 3) {
    const line = insertions[at]!;
    const ofLine = byLine.get(line) ?? [];
    byLine.set(line, ofLine);
    ofLine.push({ column: insertions[at + 1]!, length: insertions[at + 2]! });
  }
  for (const ofLine of byLine.values()) ofLine.sort((a, b) => a.column - b.column);
  return (line, wanted) => {
    let shift = 0;
    for (const { column, length } of byLine.get(line) ?? []) {
      if (wanted < column + shift) break;
      // In the midst of what was inserted: what that belongs to begins right there.
      if (wanted < column + shift + length) return column;
      shift += length;
    }
    return wanted - shift;
  };
}

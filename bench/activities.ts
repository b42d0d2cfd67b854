// The one activity of the benchmarks. It does nothing, at once.
export async function echo(value: number): Promise<number> {
  return value;
}

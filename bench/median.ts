/** The middle of these, the greater of two; NaN where there are none. */
export const median = (list: readonly number[]): number =>
  list.toSorted((a, b) => a - b)[list.length >> 1] ?? NaN;

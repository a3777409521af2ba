/** A wait with an end that whoever makes progress puts off. */
export class Patience {
  /** Resolves once it was not renewed in time; never where it ended before. */
  readonly over: Promise<'over'>;
  #run: () => void = () => undefined;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;

  /** @param ms until it is over, unless it is renewed before */
  constructor(ms: number) {
    this.over = new Promise((resolve) => (this.#run = () => resolve('over')));
    this.renew(ms);
  }

  /** From now on so many milliseconds are left. */
  renew(ms: number): void {
    if (this.#ended) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#run, ms);
  }

  end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
  }
}

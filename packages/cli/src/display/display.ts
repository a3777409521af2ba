import type { StepEvent } from '@sovereign/report';

/** Draws the steps of a command. */
export interface Display {
  show(event: StepEvent): void;
  /** Ends what is drawn; lines that were finished stay. */
  close(): void;
}

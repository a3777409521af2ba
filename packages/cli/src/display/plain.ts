import { plainLine } from '@sovereign/report';
import type { Display } from './display.ts';

/** One line at the start and one at the end of every step, without control codes. */
export function plainDisplay(stream: NodeJS.WritableStream): Display {
  return {
    show: (event) => {
      const line = plainLine(event);
      if (line !== undefined) stream.write(`${label(event)}${line}\n`);
    },
    close: () => undefined,
  };
}

/** The project, where a task of Nx spoke: several of them may run at once. */
const label = ({ project }: { project?: string }): string => (project === undefined ? '' : `${project}: `);

import type { PromiseExecutor } from '@nx/devkit';
import { announcing } from '@sovereign/report';

/** An executor that announces every error: whoever started Nx, which tells 0 from 1 only, says it to a person. */
export const announced =
  <T>(executor: PromiseExecutor<T>): PromiseExecutor<T> =>
  (options, context) =>
    announcing(context.targetName ?? 'task', () => executor(options, context));

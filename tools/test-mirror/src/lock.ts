import { lockOwn } from './locks.ts';

await lockOwn();

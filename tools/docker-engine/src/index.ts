export { TestEngine } from './engine.ts';

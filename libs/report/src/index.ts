export { SovereignError, toSovereignError, type Exit, type ErrorReport } from './error.ts';
export { announcing, step, note, plainLine, type StepHandle, type StepOptions } from './step.ts';
export { EVENTS_VARIABLE, parseEvent, readEvents, type StepEvent, type StepState } from './events.ts';

export type { Check, CheckContext, CheckResult, Database, Guest, GuestResult, Outcome } from './contract.ts';
export { connect, passwordThatWorks } from './database.ts';
export {
  checksOf,
  connectDatabase,
  databaseOf,
  liveContext,
  runCheck,
  runChecks,
  type RunOptions,
} from './run.ts';
export { connect, type Connection } from './database.ts';

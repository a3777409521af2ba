export type { Check, CheckContext, CheckResult, Database, Guest, GuestResult, Outcome } from './contract.ts';
export {
  checksOf,
  connectDatabase,
  databaseOf,
  liveContext,
  runCheck,
  runChecks,
  type RunOptions,
} from './run.ts';
export { connect, passwordThatWorks, type Connection } from './database.ts';

export { backupAge, remindOfBackup, type BackupAge } from './age.ts';
export { backupService, deviceIdOf, megabytes, type BackupDone, type BackupOptions } from './create.ts';
export { migrateService, type Migrated } from './migrate.ts';
export type { TailnetNode } from './node.ts';
export { lockRestic, resticProgram } from './program.ts';
export {
  listBackups,
  nodeToRestore,
  restoreService,
  type Restored,
  type RestoreOptions,
  type Source,
} from './restore.ts';
export type { Snapshot } from './restic.ts';
export { cronLine, scheduleBackups, timerFiles, unscheduleBackups, type Scheduled } from './schedule.ts';
export {
  backupSettings,
  chosenRepository,
  type BackupSettings,
  type Keep,
  type Schedule,
} from './settings.ts';
export { verifyBackup } from './verify.ts';

export interface ProbeReport {
  passed: string[];
  /** Name and what the probe saw. */
  failed: string[];
  /** The probe got to its end: without it the list says nothing of what was not asked. */
  finished: boolean;
  /** Seconds from the kernel's start to the probe's. */
  uptime: number | undefined;
}

/** Reads what the probe printed, among the kernel's own messages (probe/probe.h). */
export function readReport(console: string): ProbeReport {
  const lines = console.split(/\r?\n/);
  const report: ProbeReport = {
    passed: [],
    failed: [],
    finished: lines.includes('finished'),
    uptime: undefined,
  };
  for (const line of lines) {
    const check = /^check (\S+) (pass|fail)\s?(.*)$/.exec(line);
    if (check !== null) {
      const [, name = '', result, detail = ''] = check;
      if (result === 'pass') report.passed.push(name);
      else report.failed.push(`${name}: ${detail}`);
    }
    const uptime = /^uptime ([\d.]+)$/.exec(line)?.[1];
    if (uptime !== undefined) report.uptime = Number(uptime);
  }
  return report;
}

/** What a distribution says of one weakness in one source package. */
export interface Advisory {
  /** `CVE-2025-1234`, or the distribution's own name. */
  id: string;
  /** First version without it; absent where there is none yet. */
  fixed?: string;
  /** Debian's word for how much it matters: `low`, `medium`, `high`, `unimportant`… */
  urgency?: string;
  /** In a few words. */
  description?: string;
}

/** Advisories by source package. */
export type Advisories = ReadonlyMap<string, readonly Advisory[]>;

/** Runs of each property: 1,000 unless `FC_RUNS` says otherwise. */
export const RUNS = Number(process.env['FC_RUNS'] ?? 1_000);

/** Milliseconds the test of a property may take: they grow with its runs. */
export const RUNS_TIMEOUT_MS = 30_000 + RUNS * 30;

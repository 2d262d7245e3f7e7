"""A recorded run as a trace for Perfetto and chrome://tracing: a `document` of `events`, which stand on `rows`."""

// What scripts of a report's page find beside one another: node's `module` in tests, and the vendored library.
declare const module: { exports: object } | undefined;
declare const hyparquet: unknown;

"""robustagg inside other people's servers: a module a host, imported only by who uses it."""

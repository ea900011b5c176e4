"""HTTP in front of the engine: reading with limits, routes, problem documents, health, and the serving process."""

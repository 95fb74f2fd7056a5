"""The rank's side: the worker that holds a model, and the agent that starts and ends it."""

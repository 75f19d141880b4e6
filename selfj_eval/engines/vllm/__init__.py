"""The engine that runs a judge in vLLM."""

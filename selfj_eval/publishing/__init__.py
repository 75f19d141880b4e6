"""What leaves this machine: results in the community's formats, scores and judges on the hub."""

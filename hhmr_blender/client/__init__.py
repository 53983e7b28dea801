"""The engine's client: a subprocess on two pipes that never block, its jobs, its installation. No bpy."""

"""Wait for an engine, or say why there is none."""

import click

from inference.engine import Engine, EngineState, EngineStatus


async def loaded(engine: Engine) -> EngineStatus:
    """Return the status of an engine that is ready. Raises ClickException with its own reason."""
    status = await engine.wait_ready()
    if status.state is not EngineState.READY:
        raise click.ClickException(status.message)
    return status

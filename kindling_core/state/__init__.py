"""What is kept between runs: the Protocol of the state store, and continuing a run with it."""

from kindling_core.state.protocol import AttemptRecord as AttemptRecord
from kindling_core.state.protocol import Lease as Lease
from kindling_core.state.protocol import Owner as Owner
from kindling_core.state.protocol import Record as Record
from kindling_core.state.protocol import RunEnd as RunEnd
from kindling_core.state.protocol import RunRecord as RunRecord
from kindling_core.state.protocol import RunStart as RunStart
from kindling_core.state.protocol import StateConflict as StateConflict
from kindling_core.state.protocol import StateError as StateError
from kindling_core.state.protocol import StateStore as StateStore
from kindling_core.state.protocol import Success as Success
from kindling_core.state.protocol import Unfinished as Unfinished

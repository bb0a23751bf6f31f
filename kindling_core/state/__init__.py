"""What is kept between runs: the Protocol of the state store, and continuing a run with it."""

from kindling_core.state.held_lease import HeldLease as HeldLease
from kindling_core.state.held_lease import hold_lease as hold_lease
from kindling_core.state.protocol import StateStore as StateStore
from kindling_core.state.values import AttemptRecord as AttemptRecord
from kindling_core.state.values import CancelRequest as CancelRequest
from kindling_core.state.values import Lease as Lease
from kindling_core.state.values import Owner as Owner
from kindling_core.state.values import Record as Record
from kindling_core.state.values import RunEnd as RunEnd
from kindling_core.state.values import RunRecord as RunRecord
from kindling_core.state.values import RunStart as RunStart
from kindling_core.state.values import StateConflict as StateConflict
from kindling_core.state.values import StateError as StateError
from kindling_core.state.values import Success as Success
from kindling_core.state.values import Unfinished as Unfinished

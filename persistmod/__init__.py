"""Python code in ZODB: modules, functions and classes as persistent records."""

from persistmod.adding import TreeReport
from persistmod.converting import convert
from persistmod.defined import PersistentClass, PersistentFunction
from persistmod.errors import (
    BodyError,
    ConversionError,
    DamagedRecordError,
    GateError,
    HookError,
    InvalidNameError,
    NameTakenError,
    NotRegisteredError,
    NotStorable,
    OtherModuleError,
    PersistmodError,
    QuiesceError,
    ShadowedWarning,
    SourceError,
    StorageError,
    SyncError,
    UpdateError,
)
from persistmod.events import (
    ClassUpdated,
    DefinitionCreated,
    DefinitionLeaked,
    DefinitionReaped,
    DefinitionUpdated,
    ModuleAdded,
    ModuleRefused,
    ModuleRemoved,
    ModuleUpdated,
    subscribe,
    unsubscribe,
)
from persistmod.gates import Gate
from persistmod.history import Revision
from persistmod.importer import importing
from persistmod.keeping import Batch
from persistmod.leaking import Leaked
from persistmod.plans import Plan, Step
from persistmod.records import PersistentModule
from persistmod.reducers import register_reducer
from persistmod.registry import Registry, get_registry
from persistmod.serving import Status, boundary, install, retry, status, uninstall
from persistmod.steps import SyncPlan, SyncStep
from persistmod.storage import open_db
from persistmod.updating import plan, update
from persistmod.verifying import Finding

__all__ = [
    "Batch",
    "BodyError",
    "ClassUpdated",
    "ConversionError",
    "DamagedRecordError",
    "DefinitionCreated",
    "DefinitionLeaked",
    "DefinitionReaped",
    "DefinitionUpdated",
    "Finding",
    "Gate",
    "GateError",
    "HookError",
    "InvalidNameError",
    "Leaked",
    "ModuleAdded",
    "ModuleRefused",
    "ModuleRemoved",
    "ModuleUpdated",
    "NameTakenError",
    "NotRegisteredError",
    "NotStorable",
    "OtherModuleError",
    "PersistentClass",
    "PersistentFunction",
    "PersistentModule",
    "PersistmodError",
    "Plan",
    "QuiesceError",
    "Registry",
    "Revision",
    "ShadowedWarning",
    "SourceError",
    "Status",
    "Step",
    "StorageError",
    "SyncError",
    "SyncPlan",
    "SyncStep",
    "TreeReport",
    "UpdateError",
    "boundary",
    "convert",
    "get_registry",
    "importing",
    "install",
    "open_db",
    "plan",
    "register_reducer",
    "retry",
    "status",
    "subscribe",
    "uninstall",
    "unsubscribe",
    "update",
]

"""The images of a module: which Pythons have one, whether it is the module's own or in a pack, and what the registry may list.

An import that finds a module in the registry's list does not read the record of the module. So the list must never say what the record does
not: everything that changes the images of a module, or gives it more to say, goes through here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ZODB.POSException import ConflictError

from persistmod.contents import Image, Pack
from persistmod.imaging import ImageData
from persistmod.livedata import Followed
from persistmod.loading import Script
from persistmod.source import current_tag
from persistmod.state import State


class Listing(Mapping[str, Any]):
    """What a record needs of its registry: a mapping that lists images by name and tag."""

    def unlist(self, name: str, tag: str = "") -> None:
        """Have an import read the record of a module; without a tag, in every Python."""


class Imaged(Followed):
    """A record that has images."""

    name: str
    is_package: bool
    registry: Listing | None
    script: Script | None = None  # what makes it a script of a namespace, or the namespace of scripts

    @property
    def known_as(self) -> str:
        """The name of the module that what it defines is found in."""
        return self.name if self.script is None else self.script.namespace

    @property
    def is_namespace(self) -> bool:
        """Whether it is the namespace that scripts contribute to."""
        return self.script is not None and self.script.namespace == self.name

    @property
    def package(self) -> str:
        """The package that relative imports of the module start from, as its `__package__`."""
        return self.name if self.is_package else self.name.rpartition(".")[0]

    @property
    def has_source(self) -> bool:
        """False for a namespace package."""
        raise NotImplementedError

    @property
    def has_more(self) -> bool:
        """Whether an import needs more of the record than its images."""
        raise NotImplementedError

    @property
    def run(self) -> str:
        """How the running Python loads the module: "once" from its state, "always" by its body."""
        image = self._any_image()
        return image.run if image is not None else "always"

    @property
    def run_reason(self) -> str:
        """Why the body runs in every process; "" for a module that is closed."""
        image = self._any_image()
        if image is None:
            return "its body has not run yet" if self.has_source else "a namespace package has no body"
        return image.reason

    @property
    def tags(self) -> tuple[str, ...]:
        """The Pythons that have an image."""
        return tuple(sorted(self._images))

    @property
    def _images(self) -> dict[str, Image | Pack]:
        images: dict[str, Image | Pack] = self.__dict__["_images"]
        return images

    @_images.setter
    def _images(self, images: dict[str, Image | Pack]) -> None:
        # Whatever replaces an image, the registry must not go on listing it: an import trusts the list and does not look here.
        before, self.__dict__["_images"] = self.__dict__.get("_images", {}), images
        self._unlist(tag for tag, image in before.items() if images.get(tag) is not image)

    def _unlist(self, tags: Iterable[str]) -> None:
        for tag in tags:
            if self.registry is not None:
                self.registry.unlist(self.name, tag)

    def _any_image(self) -> ImageData | None:
        image = self._images.get(current_tag()) or next(iter(self._images.values()), None)
        return None if image is None else image.data(self.name)

    def image(self, tag: str) -> ImageData | None:
        """Return the image for a tag, None if there is none."""
        image = self._images.get(tag)
        return None if image is None else image.data(self.name)

    def base(self, tag: str) -> State | None:
        """Return what the body of a module that is not closed made when the image for a tag was made, None if that is not known."""
        image = self._images.get(tag)
        return None if image is None else image.base(self.name)

    def image_holder(self) -> Image | Pack | None:
        """Return the persistent object that holds the image of the running Python, None if there is none."""
        return self._images.get(current_tag())

    def keep_in(self, pack: Pack, tag: str) -> None:
        """Move the image for a tag into a pack."""
        image = self.image(tag)
        if image is not None:
            pack.put(self.name, self.is_package, image, self.base(tag))
            self._images = {**self._images, tag: pack}

    def listed(self) -> dict[str, Pack]:
        """Return `{tag: pack}` of what can be listed, so that imports need not read this record: nothing if it has more to say."""
        if self.has_more or not self.has_source:
            return {}
        return {tag: image for tag, image in self._images.items() if isinstance(image, Pack)}

    def _p_resolveConflict(self, old: dict[str, Any], saved: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        """Merge two transactions of which each only added an image."""
        if not (_differ_in_images(old, saved) and _differ_in_images(old, new)):
            raise ConflictError(f"module {old.get('name')!r} was changed by two transactions")
        return {**old, "_images": {**new["_images"], **saved["_images"]}}


def _differ_in_images(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Return whether two states of a record are the same but for the images."""
    first, second = ({key: value for key, value in state.items() if key != "_images"} for state in (old, new))
    try:
        return first == second
    except ValueError:  # two references, which refuse to be compared
        return False

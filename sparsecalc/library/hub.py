"""The Hugging Face Hub: config.json and the headers of safetensors files, never weights; the one use of the network."""

import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sparsecalc.core.errors import InputError, named_reason_of, reason_of


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of a checkpoint, as its header tells it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int

    @property
    def elements(self) -> int:
        """Stored elements (packed formats hold more than one weight in each)."""
        count = 1
        for side in self.shape:
            count *= side
        return count


def fetch_config(repo_id: str) -> bytes:
    """The repository's config.json, from the cache where huggingface_hub has it.

    Raises InputError in one line: no such repository, gated, no config.json, no network.
    """
    try:
        return Path(_path_of(repo_id)).read_bytes()
    except Exception as error:
        raise _explained(error, repo_id) from error


def fetch_if_there(repo_id: str, file: str) -> bytes | None:
    """Another small file of the repository; None where it has none. Raises InputError as `fetch_config`.

    That there is none is kept in the cache too, so that a model which was read once stays readable offline.
    """
    from huggingface_hub import errors, hf_hub_download, try_to_load_from_cache

    try:
        return Path(_path_of(repo_id, file)).read_bytes()
    except errors.EntryNotFoundError:
        with suppress(errors.EntryNotFoundError):
            hf_hub_download(repo_id, file)  # notes in the cache that there is none
        return None
    except Exception as error:
        known = try_to_load_from_cache(repo_id, file)
        if known is not None and not isinstance(known, str):
            return None
        raise _explained(error, repo_id) from error


def _path_of(repo_id: str, file: str = "config.json") -> str:
    """Asks once before it downloads: a download alone retries for 20 seconds, and hides why it failed."""
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_download, hf_hub_url

    try:
        get_hf_file_metadata(hf_hub_url(repo_id, file))
    except errors.RepositoryNotFoundError:
        raise
    except Exception as error:
        try:
            return hf_hub_download(repo_id, file, local_files_only=True)
        except errors.LocalEntryNotFoundError:
            raise error from None
    return hf_hub_download(repo_id, file)


def stored_tensors(repo_id: str) -> list[StoredTensor]:
    """Every tensor in the headers of the repository's safetensors files.

    Raises InputError as `fetch_config`, and where the repository has no safetensors.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        found = HfApi().get_safetensors_metadata(repo_id)
    except Exception as error:
        raise _explained(error, repo_id) from error
    return [
        StoredTensor(
            name=name,
            dtype=str(tensor.dtype),
            shape=tuple(tensor.shape),
            nbytes=tensor.data_offsets[1] - tensor.data_offsets[0],
        )
        for file in found.files_metadata.values()
        for name, tensor in file.tensors.items()
    ]


def _explained(error: Exception, repo_id: str) -> InputError:
    """huggingface_hub's exceptions as one line each; gated first, since it is a kind of 'not found'."""
    from huggingface_hub import errors

    name = f"{repo_id} on the Hub"
    if isinstance(error, errors.GatedRepoError):
        return InputError("gated", where=name, hint="Accept its licence there, then run: hf auth login")
    if isinstance(error, errors.RepositoryNotFoundError):
        return InputError("no such repository, or private", where=name, hint="Check the name, or run: hf auth login")
    if isinstance(error, errors.NotASafetensorsRepoError | errors.SafetensorsParsingError):
        return InputError("no readable safetensors files", where=name, hint="Import its config.json alone")
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled) or _is_network(error):
        return InputError(
            "cannot be reached and is not in the cache",
            where=name,
            hint="Check the network (HF_HUB_OFFLINE, HF_ENDPOINT), or give a local config.json",
        )
    if isinstance(error, errors.EntryNotFoundError):
        return InputError("has no config.json", where=name, hint="Is it a transformers model?")
    if isinstance(error, errors.HfHubHTTPError):
        status = getattr(error.response, "status_code", "?")
        return InputError(f"the Hub answered with status {status}", where=name, hint="Try again later")
    if isinstance(error, ValueError):
        return InputError(f"not a usable answer ({reason_of(error, 100)})", where=name)
    return InputError(f"{named_reason_of(error, 100)}", where=name)


def _is_network(error: Exception) -> bool:
    """Connection errors of the HTTP library, whose package name depends on huggingface_hub's version."""
    return type(error).__module__.startswith(("httpx", "requests", "urllib3")) or isinstance(error, ConnectionError)

"""Which hosts the HTTP client may talk to: the endpoint, and nobody that an answer of it leads to.

The client follows redirects, and cannot be told not to. A store that answers "look there" could so have requests sent
to any address that a pod can reach. But it can be told to use a proxy for all hosts but some: every other host is given
one that does not exist, at a port where nothing listens.
"""

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mmm_repository.storage import StorageOptions

if TYPE_CHECKING:
    from obstore.store import ClientConfig

# The port of the discard service, which no system runs.
NOWHERE = "127.0.0.1:9"
LED_NOWHERE = re.compile(re.escape(NOWHERE) + r"(?!\d)")
EVERYBODY = "*,0.0.0.0/0,::/0"


def proxy_config(options: StorageOptions) -> "ClientConfig":
    """What keeps the client from proxies of the environment, and from hosts that the user did not name."""
    if options.use_environment_proxy:
        return {}
    return {"proxy_url": f"http://{NOWHERE}", "proxy_excludes": reachable_hosts(options)}


def reachable_hosts(options: StorageOptions) -> str:
    """The hosts that are asked without a proxy: the named endpoint and, for a bucket before it, names below its own."""
    host = urlsplit(options.endpoint).hostname if options.endpoint else None
    # The services of ambient identities live at addresses of their own; AWS itself is trusted with where it leads.
    if host is None or (options.access_key_id is None and not options.anonymous):
        return EVERYBODY
    return host

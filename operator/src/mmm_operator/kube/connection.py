"""Who we are and where the API server is: a kubeconfig, or the pod's service account."""

import os
from urllib import request
from urllib.parse import urlsplit

from kubernetes.aio import config
from kubernetes.aio.client import Configuration

from mmm_operator.errors import SettingsError
from mmm_operator.kube.port import Connection

SERVICE_HOST = "KUBERNETES_SERVICE_HOST"
NOWHERE = "no cluster to talk to: run inside one, or set KUBECONFIG"


async def load_configuration() -> Configuration:
    """The client's configuration from $KUBECONFIG, the service account or ~/.kube/config, whichever is there first.

    Raises SettingsError with a sentence when none of them can be used.
    """
    configuration = Configuration()
    kubeconfig = os.environ.get("KUBECONFIG")
    try:
        if kubeconfig or SERVICE_HOST not in os.environ:
            await config.load_kube_config(config_file=kubeconfig, client_configuration=configuration)
        else:
            config.load_incluster_config(client_configuration=configuration)
    except Exception as error:  # a kubeconfig can be wrong in every way that YAML, base64 and files can
        raise SettingsError(f"{NOWHERE} ({error})") from error
    configuration.proxy = configuration.proxy or proxy_for(configuration.host)
    # Else the client would look for a proxy and a .netrc anew, in a thread, for each call.
    configuration.client_session_kwargs = {"trust_env": False}
    return configuration


def proxy_for(server: str) -> str | None:
    """The proxy that $HTTPS_PROXY and $NO_PROXY, or $HTTP_PROXY, name for this server, as kubectl understands them."""
    parts = urlsplit(server)
    if request.proxy_bypass_environment(parts.netloc):  # type: ignore[attr-defined]  # typeshed has forgotten it
        return None
    return request.getproxies_environment().get(parts.scheme)


async def connection_of(configuration: Configuration) -> Connection:
    """The same for another client, with the token as it is now."""
    return Connection(
        server=configuration.host,
        ca=configuration.ssl_ca_cert,
        verify=configuration.verify_ssl,
        certificate=configuration.cert_file,
        private_key=configuration.key_file,
        authorization=await configuration.get_api_key_with_prefix("BearerToken", alias="authorization"),
        proxy=configuration.proxy,
    )

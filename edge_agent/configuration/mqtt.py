"""The table [mqtt] as the publisher wants it."""

from pathlib import Path
from types import MappingProxyType

from edge_agent.configuration.file import resolve
from edge_agent.publisher.options import Confirm, MqttOptions, Version
from edge_agent.settings import Settings
from edge_agent.store.rows import Route


def mqtt_options(path: Path, settings: Settings) -> MqttOptions:
    """File names become paths beside the configuration; the password is read once.

    Raises OSError, UnicodeDecodeError.
    """
    mqtt, consumers = settings.mqtt, settings.mqtt.consumers()
    return MqttOptions(
        urls=tuple(mqtt.urls),
        site=settings.agent.site,
        gateway=settings.agent.gateway,
        ca_file=_beside(path, mqtt.ca_file),
        cert_file=_beside(path, mqtt.cert_file),
        key_file=_beside(path, mqtt.key_file),
        username=mqtt.username,
        password=resolve(path, mqtt.password_file).read_text("utf-8").strip() if mqtt.password_file else "",
        prefix=mqtt.prefix,
        confirm=Confirm(mqtt.confirm),
        consumers=MappingProxyType(
            {Route.RESULT: consumers.result, Route.QC: consumers.qc, Route.VALIDATION: consumers.validation}
        ),
        window=mqtt.window,
        unfiled=mqtt.unfiled,
        ack_timeout_s=mqtt.ack_timeout_s,
        retry_max_s=mqtt.retry_max_s,
        keepalive_s=mqtt.keepalive_s,
        will_delay_s=mqtt.will_delay_s,
        version=Version(mqtt.version),
        require_digest=mqtt.require_digest,
    )


def _beside(path: Path, name: str) -> str:
    return str(resolve(path, name)) if name else ""

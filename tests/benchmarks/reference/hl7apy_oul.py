"""The same OUL^R22 made with hl7apy, by its own groups and fields, validated as a careful user would."""

from hl7apy.core import Field, Group, Message, Segment

_OBX = (("OBX_2", "type"), ("OBX_7", "range"), ("OBX_11", "status"), ("OBX_19", "analysed"))


def build(message) -> str:
    """``message``: hl7.values.Message. Untyped, as hl7apy is."""
    made = Message("OUL_R22", version="2.5.1")
    _header(made.msh, message.header)
    specimen = made.add_group("OUL_R22_SPECIMEN")
    specimen.spm.spm_1, specimen.spm.spm_2 = "1", message.specimen.id
    specimen.spm.spm_4, specimen.spm.spm_11 = '""', "P^^HL70369"
    container = specimen.add_group("OUL_R22_CONTAINER")
    container.sac.sac_3 = message.specimen.id
    for order in message.orders:
        group = specimen.add_group("OUL_R22_ORDER")
        group.obr.obr_2, group.obr.obr_4 = '""', _coded(order.service)
        for number, observation in enumerate(order.observations, start=1):
            _obx(group, number, observation)
    return str(made.to_er7())


def _header(msh, header) -> None:
    msh.msh_3, msh.msh_4 = header.sending_application, header.sending_facility
    msh.msh_5, msh.msh_6 = header.receiving_application, header.receiving_facility
    msh.msh_7, msh.msh_9, msh.msh_10 = header.time, "OUL^R22^OUL_R22", header.control_id
    msh.msh_11, msh.msh_12 = header.processing_id, "2.5.1"


def _obx(group, number: int, observation) -> None:
    result = Group("OUL_R22_OBXTCDSIDNTE_SUPPGRP", version="2.5.1")
    obx = Segment("OBX", version="2.5.1")
    obx.obx_1, obx.obx_3, obx.obx_5 = str(number), _coded(observation.code), "^".join(observation.value)
    obx.obx_6, obx.obx_8 = _coded(observation.unit), observation.flags[0].code
    obx.obx_16, obx.obx_18 = observation.observers[0], observation.devices[0].id
    for name, value in _OBX:
        field = Field(name, version="2.5.1")
        field.value = getattr(observation, value)
        obx.add(field)
    result.add(obx)
    group.add(result)


def _coded(value) -> str:
    return f"{value.code}^{value.text}^{value.system}".rstrip("^")

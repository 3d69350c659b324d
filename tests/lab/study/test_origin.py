from hinged.lab.study.build_record import build_record
from hinged.lab.study.origin import origin


def test_data_machine_and_command_are_told(finished):
    record = build_record(finished)
    said = origin(record)
    about = record.environments[0]
    for text in (
        record.rows[0].data_digest[:12],
        record.command,
        about["processor"],
        f"torch {about['torch']}",
        "of training in float32",
    ):
        assert text in said
    assert "Pretrained first" not in said

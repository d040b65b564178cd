"""Which socket is used when nobody named one."""

from netpolicy.bus import paths


def test_the_environment_wins(monkeypatch):
    monkeypatch.setenv(paths.ENVIRONMENT, "/somewhere/else.sock")
    assert paths.default_socket() == "/somewhere/else.sock"


def test_the_older_place_is_used_only_where_it_is_the_only_one(monkeypatch, tmp_path):
    monkeypatch.delenv(paths.ENVIRONMENT, raising=False)
    current, older = tmp_path / "new.sock", tmp_path / "old.sock"
    monkeypatch.setattr(paths, "CURRENT", str(current))
    monkeypatch.setattr(paths, "OLDER", str(older))
    assert paths.default_socket() == str(current)
    older.touch()
    assert paths.default_socket() == str(older)
    current.touch()
    assert paths.default_socket() == str(current)

"""Has the file formats that the reader asks about."""

import types

FileFormat = types.SimpleNamespace(ARRAY_RECORD='array_record')

# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
# cmake -DOUTPUT=x.c -DNAME=report_css -DINPUT=report.css -P embed.cmake
# A file as a NUL-terminated C array: const char NAME[]; without xxd or other tools.
file(READ ${INPUT} bytes HEX)
string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE ${OUTPUT} "#include \"emdlist/listreport.h\"\nconst char ${NAME}[] = {\n${bytes}0};\n")

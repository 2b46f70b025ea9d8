# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
# Debian wants manual pages and changelogs compressed; cpack runs this before it makes the packages.
file(GLOB_RECURSE emd_files "${CPACK_TEMPORARY_DIRECTORY}/*")
list(FILTER emd_files INCLUDE REGEX "/share/man/man./[^/]*\\.[1-9]$|/changelog\\.Debian$")
execute_process(COMMAND gzip -9n ${emd_files} COMMAND_ERROR_IS_FATAL ANY)

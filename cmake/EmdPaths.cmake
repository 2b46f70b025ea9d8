# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
# Where things are installed.
set(EMDTOOLS_PLUGIN_DIR "${CMAKE_INSTALL_LIBDIR}/emdtools/plugins" CACHE STRING
    "Where the plugins are installed; relative to the prefix or absolute")

# Programs know where everything else is relative to its own folder, so that a prefix can be moved.
function(emd_from_bin variable dir)
  if(NOT IS_ABSOLUTE ${dir})
    file(RELATIVE_PATH dir ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_PREFIX}/${dir})
  endif()
  set(${variable} ${dir} PARENT_SCOPE)
endfunction()
set(EMDTOOLS_XDS_DIR ${CMAKE_INSTALL_LIBDIR}/emdtools)
emd_from_bin(EMD_BIN_TO_XDS ${EMDTOOLS_XDS_DIR})
set(EMDTOOLS_LIBEXEC_DIR ${CMAKE_INSTALL_LIBEXECDIR}/emdtools)
emd_from_bin(EMD_BIN_TO_PLUGINS ${EMDTOOLS_PLUGIN_DIR})
emd_from_bin(EMD_BIN_TO_LIBEXEC ${EMDTOOLS_LIBEXEC_DIR})
emd_from_bin(EMD_BIN_TO_INCLUDE ${CMAKE_INSTALL_INCLUDEDIR})
emd_from_bin(EMD_BIN_TO_SHARE ${CMAKE_INSTALL_DATADIR})

# Where the shells look for completions; Debian has a folder of its own for zsh's.
set(emd_bash_completions ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
set(emd_zsh_completions ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
if(EMDTOOLS_DEB)
  set(emd_zsh_completions ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
endif()
set(emd_fish_completions ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/completions/bash ${PROJECT_BINARY_DIR}/completions/zsh
     ${PROJECT_BINARY_DIR}/completions/fish)

# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
# Debian packages by cpack (./setup.sh packages): emdtools-hdf5-plugins, emdtools, emdtools-dev.
# Included after all install rules.
#
# The plugins stay in a folder of their own, which HDF5_PLUGIN_PATH can put first; links in HDF5's
# default folder make them work without any variable. Other packages may have plugins of the same ids
# there (docs/filters.md says which one is taken).
if(NOT EMDTOOLS_DEB)
  return()
endif()
if(NOT CMAKE_INSTALL_PREFIX STREQUAL "/usr")
  message(FATAL_ERROR "EMDTOOLS_DEB needs -DCMAKE_INSTALL_PREFIX=/usr")
endif()
set(EMDTOOLS_PACKAGE_RELEASE 1 CACHE STRING "Release of the packages, after the version")
# Whoever publishes packages puts name and address here.
set(EMDTOOLS_MAINTAINER "The emdtools developers <emdtools@localhost>" CACHE STRING
    "Maintainer of the packages")

find_file(EMD_H5PUBCONF H5pubconf.h HINTS ${HDF5_INCLUDE_DIRS} REQUIRED)
file(STRINGS ${EMD_H5PUBCONF} emd_line REGEX "H5_DEFAULT_PLUGINDIR")
string(REGEX MATCH "\"/(.*)\"" emd_line "${emd_line}")
set(emd_hdf5_plugins ${CMAKE_MATCH_1})
if(NOT emd_hdf5_plugins)
  message(FATAL_ERROR "${EMD_H5PUBCONF} does not name HDF5's plugin folder")
endif()
foreach(plugin zstd blosc bitshuffle edc)
  set(link ${PROJECT_BINARY_DIR}/links/libh5z${plugin}.so)
  file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/links)
  file(RELATIVE_PATH target /${emd_hdf5_plugins}
       ${CMAKE_INSTALL_PREFIX}/${EMDTOOLS_PLUGIN_DIR}/libh5z${plugin}.so)
  file(CREATE_LINK ${target} ${link} SYMBOLIC)
  install(FILES ${link} DESTINATION /${emd_hdf5_plugins} COMPONENT plugins)
endforeach()

# What Debian wants in every package. SOURCE_DATE_EPOCH fixes the date.
string(TIMESTAMP emd_date "%a, %d %b %Y %H:%M:%S +0000" UTC)
configure_file(cmake/debian/changelog.in changelog.Debian @ONLY)
set(emd_package_plugins emdtools-hdf5-plugins)
set(emd_package_tools emdtools)
set(emd_package_dev emdtools-dev)
foreach(component plugins tools dev)
  install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${emd_package_${component}}
          RENAME copyright COMPONENT ${component})
  install(FILES NEWS.md ${PROJECT_BINARY_DIR}/changelog.Debian
          DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${emd_package_${component}}
          COMPONENT ${component})
  string(TOUPPER ${component} COMPONENT)
  set(CPACK_DEBIAN_${COMPONENT}_PACKAGE_NAME ${emd_package_${component}})
endforeach()

set(CPACK_GENERATOR DEB)
set(CPACK_COMPONENTS_ALL plugins tools dev)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/debian/finish.cmake)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "") # each package's own description begins with one
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER ${EMDTOOLS_MAINTAINER})
set(CPACK_DEBIAN_PACKAGE_RELEASE ${EMDTOOLS_PACKAGE_RELEASE})
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(emd_same "emdtools-hdf5-plugins (= ${PROJECT_VERSION}-${EMDTOOLS_PACKAGE_RELEASE})")

set(CPACK_DEBIAN_PLUGINS_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_PLUGINS_DESCRIPTION "HDF5 filter plugins: zstd, blosc, bitshuffle, edc
They are found by every program of the distribution that reads HDF5,
without any variable. h5plugin-config says where they are and why a file
cannot be read.")
set(CPACK_DEBIAN_TOOLS_PACKAGE_SECTION science)
set(CPACK_DEBIAN_TOOLS_DESCRIPTION "MicroED movies: compressed, watched, processed and summarised
emdrepack compresses Velox EMD movies and other HDF5 files; emdwatch and
emdsync do so as they are recorded; emdprocess, emdblanks and emdlist go
with DIALS.")
set(CPACK_DEBIAN_TOOLS_PACKAGE_DEPENDS ${emd_same})
set(CPACK_DEBIAN_TOOLS_PACKAGE_RECOMMENDS "rsync, openssh-client")
set(CPACK_DEBIAN_TOOLS_PACKAGE_SUGGESTS "dials, python3-h5py")
set(CPACK_DEBIAN_TOOLS_PACKAGE_CONTROL_EXTRA
    ${PROJECT_SOURCE_DIR}/cmake/debian/postinst ${PROJECT_SOURCE_DIR}/cmake/debian/prerm
    ${PROJECT_SOURCE_DIR}/cmake/debian/postrm)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "${emd_same}, libhdf5-dev")
set(CPACK_DEBIAN_DEV_DESCRIPTION "Filter ids and parameters of emdtools' HDF5 plugins, for programs
A header, a pkg-config file and a CMake package.")
include(CPack)

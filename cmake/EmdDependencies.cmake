# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
# Finds what emdtools stands on; a missing part is named with its Debian package.
find_package(PkgConfig REQUIRED)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

# emd_require(<target> <pkg-config module> <Debian package> [<module's name elsewhere>]): an imported
# target, or a clear stop.
function(emd_require target module package)
  pkg_search_module(${target} QUIET IMPORTED_TARGET GLOBAL ${module} ${ARGN})
  if(NOT ${target}_FOUND)
    message(FATAL_ERROR "emdtools needs ${module}: on Debian, apt-get install ${package}")
  endif()
  # The msgpack-c of Debian 13 names a folder "include", which is none.
  get_target_property(folders PkgConfig::${target} INTERFACE_INCLUDE_DIRECTORIES)
  if(folders)
    list(FILTER folders INCLUDE REGEX "^/")
    set_target_properties(PkgConfig::${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${folders}")
  endif()
endfunction()

# emd_optional(<target> <pkg-config module> <Debian package> <what is missed without it>)
function(emd_optional target module package what)
  pkg_check_modules(${target} QUIET IMPORTED_TARGET GLOBAL ${module})
  if(NOT ${target}_FOUND)
    message(STATUS "no ${module} (Debian: ${package}): ${what}")
  endif()
endfunction()

# pkg-config's hdf5 answers for the serial build on Debian and, since HDF5 1.14, wherever it was built
# by CMake; FindHDF5 serves the rest.
pkg_check_modules(HDF5 QUIET IMPORTED_TARGET GLOBAL hdf5>=1.10)
if(NOT HDF5_FOUND)
  find_package(HDF5 1.10 QUIET COMPONENTS C)
  if(NOT HDF5_FOUND)
    message(FATAL_ERROR "emdtools needs HDF5 1.10 or newer: on Debian, apt-get install libhdf5-dev")
  endif()
  add_library(PkgConfig::HDF5 INTERFACE IMPORTED GLOBAL)
  target_link_libraries(PkgConfig::HDF5 INTERFACE HDF5::HDF5)
endif()
# HDF5 2.0 gave H5Dread_chunk another parameter: this is the name of 1.10's in both.
target_compile_definitions(PkgConfig::HDF5 INTERFACE H5Dread_chunk_vers=1)
emd_require(ZSTD libzstd libzstd-dev)
emd_require(BLOSC blosc libblosc-dev)
if(EMDTOOLS_PORTABLE)
  emd_portable_pic(PkgConfig::BLOSC blosc)
  emd_portable_pic(PkgConfig::HDF5 hdf5)
endif()
emd_require(DEFLATE libdeflate libdeflate-dev)
emd_require(ZLIB zlib zlib1g-dev)
emd_require(XXHASH libxxhash libxxhash-dev)
emd_require(LZ4 liblz4 liblz4-dev)
if(EMDTOOLS_PLUGINS_ONLY)
  return()
endif()
emd_require(JSON json-c libjson-c-dev)
emd_require(MSGPACK msgpack libmsgpack-dev msgpack-c) # Debian 13: libmsgpack-c-dev
emd_require(PNG libpng libpng-dev)

# spglib's pkg-config file is not everywhere, and where it is, names differ.
find_path(SPGLIB_INCLUDE_DIR spglib.h PATH_SUFFIXES spglib)
find_library(SPGLIB_LIBRARY symspg)
if(NOT SPGLIB_INCLUDE_DIR OR NOT SPGLIB_LIBRARY)
  message(FATAL_ERROR "emdtools needs spglib: on Debian, apt-get install libsymspg-dev")
endif()
add_library(SPGLIB::symspg UNKNOWN IMPORTED)
set_target_properties(SPGLIB::symspg PROPERTIES IMPORTED_LOCATION "${SPGLIB_LIBRARY}"
                      INTERFACE_INCLUDE_DIRECTORIES "${SPGLIB_INCLUDE_DIR}")

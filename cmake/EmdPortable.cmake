# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
# EMDTOOLS_PORTABLE: programs and plugins that need nothing but glibc, and an older one than this
# machine's: for the Python wheel and the tarball. Everything else is linked in from Debian's static
# libraries. portable/oldglibc.py says how. To be included before EmdDependencies.
option(EMDTOOLS_PORTABLE "Link all libraries but glibc statically" OFF)
set(EMDTOOLS_GLIBC 2.28 CACHE STRING "Oldest glibc that a portable build runs with")
if(NOT EMDTOOLS_PORTABLE)
  return()
endif()

set(emd_portable ${PROJECT_SOURCE_DIR}/cmake/portable)
set(emd_portable_out ${PROJECT_BINARY_DIR}/portable)
set(EMDTOOLS_PYTHON /usr/bin/python3 CACHE FILEPATH "Python for the build's own scripts")
set(CMAKE_FIND_LIBRARY_SUFFIXES .a)

function(emd_portable_run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status ERROR_VARIABLE text OUTPUT_VARIABLE text)
  if(status)
    string(JOIN " " command ${ARGN})
    message(FATAL_ERROR "${command}: ${text}")
  endif()
endfunction()

emd_portable_run(${EMDTOOLS_PYTHON} ${emd_portable}/oldglibc.py stubs ${EMDTOOLS_GLIBC}
                 ${emd_portable_out})
file(REMOVE ${emd_portable_out}/libportable.a)
foreach(name nonshared startup streams nos3)
  emd_portable_run(${CMAKE_C_COMPILER} -std=c11 -D_GNU_SOURCE -O2 -fPIC -fvisibility=hidden
                   -fno-builtin -Wall -Wextra -c ${emd_portable}/${name}.c
                   -o ${emd_portable_out}/${name}.o)
  emd_portable_run(${CMAKE_AR} rc ${emd_portable_out}/libportable.a ${emd_portable_out}/${name}.o)
  set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
               ${emd_portable}/${name}.c ${emd_portable}/oldglibc.py)
endforeach()

# emd_portable_pic(<imported target> <library>): a copy of a static library that can be part of a
# shared one (streams.c), in its place.
function(emd_portable_pic target name)
  find_library(emd_portable_${name} NAMES ${name} HINTS ${HDF5_LIBRARY_DIRS} REQUIRED)
  emd_portable_run(${CMAKE_OBJCOPY} --redefine-sym stderr=emd_portable_stderr
                   --redefine-sym stdout=emd_portable_stdout ${emd_portable_${name}}
                   ${emd_portable_out}/lib${name}.a)
  set_target_properties(${target} PROPERTIES INTERFACE_LINK_LIBRARIES ${emd_portable_out}/lib${name}.a)
endfunction()

# At the end of each link command: what static libraries need of each other, and the old glibc.
add_link_options(-nodefaultlibs LINKER:--gc-sections LINKER:-Bsymbolic
  $<$<NOT:$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>>:LINKER:--exclude-libs,ALL>
  $<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:LINKER:--wrap=__libc_start_main>)
# -lm and the like in front of it find the old ones, too.
link_directories(BEFORE ${emd_portable_out})
set(CMAKE_SKIP_RPATH ON)
string(JOIN " " CMAKE_C_STANDARD_LIBRARIES
  "-L${emd_portable_out} -Wl,--start-group -lportable"
  "-l:libsnappy.a -l:libstdc++.a -l:libzstd.a -l:liblz4.a -l:libsz.a -l:libaec.a -l:libz.a -l:libgomp.a"
  "-lc -lm -lloader -l:libc_nonshared.a -lgcc -lgcc_eh -Wl,--end-group"
  "-Wl,--push-state,--no-as-needed -lpthread -ldl -Wl,--pop-state")

# emd_portable_check(<target>...): after linking, none needs more than it may.
function(emd_portable_check)
  foreach(target ${ARGN})
    add_custom_command(TARGET ${target} POST_BUILD VERBATIM
                       COMMAND ${EMDTOOLS_PYTHON} ${emd_portable}/oldglibc.py check ${EMDTOOLS_GLIBC}
                               $<TARGET_FILE:${target}>)
  endforeach()
endfunction()

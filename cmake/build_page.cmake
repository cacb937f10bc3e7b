# Builds web/ in BINARY and writes BINARY/page_files.cpp. Never fails: without npm or its registry the
# program is built all the same, and its page says what was missing.
set(work ${BINARY}/work)

function(give_up reason)
  file(WRITE ${BINARY}/missing "${reason}\n")
  file(WRITE ${BINARY}/page_files.cpp
    "#include \"server/page.h\"\n\n"
    "const std::vector<godwit::server::PageFile> godwit::server::kPageFiles;\n"
    "const std::string_view godwit::server::kPageMissing = \"${reason}\";\n")
  message(WARNING "the web page is left out: ${reason}")
endfunction()

function(run_step name out)
  execute_process(COMMAND ${ARGN} WORKING_DIRECTORY ${work} RESULT_VARIABLE status
    OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT status EQUAL 0)
    file(WRITE ${BINARY}/failed.log "${output}")
    message("${output}")
  endif()
  set(${out} ${status} PARENT_SCOPE)
endfunction()

if(NOT NPM OR NOT NODE)
  give_up("it is built by nodejs and npm, which are not installed (scripts/setup installs them).")
  return()
endif()

# A copy, so that nothing is written beside the sources and several build folders do not meet.
foreach(folder src public)
  file(REMOVE_RECURSE ${work}/${folder})
endforeach()
foreach(entry src public test index.html package.json package-lock.json tsconfig.json vite.config.ts embed.mjs)
  file(COPY ${SOURCE}/${entry} DESTINATION ${work})
endforeach()

# The packages are installed once for each lock file.
file(SHA256 ${work}/package-lock.json lock)
set(installed "")
if(EXISTS ${work}/installed)
  file(READ ${work}/installed installed)
endif()
if(NOT installed STREQUAL lock)
  run_step(install status ${NPM} ci --ignore-scripts --no-audit --no-fund --fetch-retries=1
    --fetch-retry-mintimeout=1000 --fetch-timeout=60000)
  if(NOT status EQUAL 0)
    give_up("npm ci failed (is the npm registry reachable?); web/failed.log in the build folder has its words.")
    return()
  endif()
  file(WRITE ${work}/installed "${lock}")
endif()

run_step(build status ${NPM} run build --silent)
if(NOT status EQUAL 0)
  give_up("npm run build failed; web/failed.log in the build folder has its words.")
  return()
endif()
run_step(embed status ${NODE} embed.mjs dist ${BINARY}/page_files.cpp)
if(NOT status EQUAL 0)
  give_up("embed.mjs failed; web/failed.log in the build folder has its words.")
  return()
endif()
file(REMOVE ${BINARY}/missing ${BINARY}/failed.log)

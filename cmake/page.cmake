# The web page as a C++ source: ${GODWIT_PAGE_SOURCE}. Built again when a file of web/ changed; if it
# could not be built (no npm, no registry), every `make build` tries again.
set(GODWIT_PAGE_SOURCE ${PROJECT_BINARY_DIR}/web/page_files.cpp)
find_program(NPM npm)
find_program(NODE NAMES node nodejs)
file(GLOB_RECURSE page_inputs CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/web/src/* ${PROJECT_SOURCE_DIR}/web/public/*)
list(APPEND page_inputs ${PROJECT_SOURCE_DIR}/web/index.html ${PROJECT_SOURCE_DIR}/web/package.json
  ${PROJECT_SOURCE_DIR}/web/package-lock.json ${PROJECT_SOURCE_DIR}/web/tsconfig.json
  ${PROJECT_SOURCE_DIR}/web/vite.config.ts ${PROJECT_SOURCE_DIR}/web/embed.mjs)

if(EXISTS ${PROJECT_BINARY_DIR}/web/missing)
  file(REMOVE ${GODWIT_PAGE_SOURCE})
endif()
add_custom_command(
  OUTPUT ${GODWIT_PAGE_SOURCE}
  COMMAND ${CMAKE_COMMAND} -DSOURCE=${PROJECT_SOURCE_DIR}/web -DBINARY=${PROJECT_BINARY_DIR}/web
    -DNPM=${NPM} -DNODE=${NODE} -P ${PROJECT_SOURCE_DIR}/cmake/build_page.cmake
  DEPENDS ${page_inputs} ${PROJECT_SOURCE_DIR}/cmake/build_page.cmake
  COMMENT "Building the web page"
  VERBATIM)

// Downloads a model repository from a hub that speaks the Hugging Face protocol:
//
//   GET {endpoint}/api/models/{name}/tree/{revision}?recursive=true
//       [{"type","path","size","lfs":{"oid"}}, …]
//   GET {endpoint}/{name}/resolve/{revision}/{path}
//       bytes; Range resumes
//
// A file is `path.part` until it is whole and its size and, where the hub has one, its SHA-256 are
// right. What is there already is kept; what was cut off goes on from where it stopped.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace godwit::checkpoint {

struct DownloadProgress {
  std::string file;
  uint64_t file_done = 0, file_size = 0;  // bytes
  uint64_t done = 0, total = 0;           // of all files
};

struct DownloadRequest {
  std::string name;    // "owner/model"
  std::string folder;  // made if it is not there
  std::vector<std::string>
      files;  // names, * and ? allowed; empty: what a model folder needs (model_folder.h)
  std::string revision = "main";
  std::string endpoint = "https://huggingface.co";
  std::string token;          // empty: none
  int retries = 5;            // of a transfer that breaks off without bringing anything
  int retry_pause_ms = 1000;  // doubles each time
  // Called a few times a second; false stops the download (which can be resumed).
  std::function<bool(const DownloadProgress&)> progress;
};

// Endpoint and token from HF_ENDPOINT and HF_TOKEN where they are set.
DownloadRequest download_request_from_environment(const std::string& name,
                                                  const std::string& folder);

Status download_model(const DownloadRequest& request);

}  // namespace godwit::checkpoint

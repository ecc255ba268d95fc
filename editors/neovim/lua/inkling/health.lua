--- `:checkhealth inkling`
local client = require("inkling.client")
local compat = require("inkling.compat")
local config = require("inkling.config")
local find = require("inkling.find")
local status = require("inkling.status")

local M = {}

local function check_editor(report)
  local version = vim.version()
  local name = ("Neovim %d.%d.%d"):format(version.major, version.minor, version.patch)
  if vim.fn.has("nvim-0.7.2") == 0 then
    report.error(name .. " is too old; 0.7.2 or newer is needed")
  elseif compat.has_inline_text then
    report.ok(name)
  else
    report.ok(name .. "; from 0.10 on, ghost text inside a line keeps the colours around it")
  end
end

local function check_program(report)
  local command, place = find.command()
  if not command then
    return report.error(find.advice())
  end
  local line = table.concat(vim.list_extend(vim.deepcopy(command), { "--version" }), " ")
  local output = vim.fn.system(vim.list_extend(vim.deepcopy(command), { "--version" }))
  if vim.v.shell_error ~= 0 then
    return report.error(("`%s`, from %s, fails: %s"):format(line, place, vim.trim(output)))
  end
  report.ok(("%s, from %s: %s"):format(table.concat(command, " "), place, vim.trim(output)))
end

local function check_server(report)
  local running, known = client.get(), status.known()
  if not running then
    local why = known.message ~= "" and known.message or "it starts with the first buffer for it"
    return report.warn("no server runs: " .. (why or "nothing was opened that is one for it"))
  end
  local encoding = running.offset_encoding
  report.ok(("the server runs, positions are counted in %s"):format(encoding))
  if known.state == "failed" then
    report.error(known.message)
  elseif known.small_model_only then
    report.warn(known.message .. "; :Inkling model add fetches one")
  else
    report.info(("%s: %s"):format(known.state, known.message or ""))
  end
  report.info("log: " .. client.log_file())
end

--- Two that draw the same would show it twice.
local function check_native(report)
  local native = vim.lsp.inline_completion
  if native and not config.options.native and native.is_enabled({ bufnr = 0 }) then
    report.info(
      "vim.lsp.inline_completion is enabled; where suggestions are drawn twice, set native = true"
    )
  end
end

local function check_keys(report)
  for name, key in pairs(config.options.keys) do
    local there = key and vim.fn.maparg(key, "i", false, true) or {}
    local is_ours = not there.lhs or (there.desc or ""):find("inkling", 1, true)
    if key and not is_ours then
      report.warn(("%s, the key for %s, is mapped by something else"):format(key, name))
    end
  end
end

function M.check()
  local report = compat.health()
  report.start("inkling")
  check_editor(report)
  check_program(report)
  check_server(report)
  check_native(report)
  check_keys(report)
end

return M

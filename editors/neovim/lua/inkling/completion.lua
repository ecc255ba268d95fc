--- Ask while somebody types, show the answer, and tell the server what became of it.
---
--- All happens in the current buffer in insert mode, so there is one of each: what is shown, and
--- the request that is under way.
local compat = require("inkling.compat")
local config = require("inkling.config")
local ghost = require("inkling.ghost")
local suggestion = require("inkling.suggestion")

local M = {}

local INVOKED, AUTOMATIC = 1, 2
local METHOD = "textDocument/inlineCompletion"
local DID_SHOW = "textDocument/didShowCompletion"
local DID_ACCEPT_PART = "textDocument/didPartiallyAcceptCompletion"

local clients = {} -- the client's id, by buffer
local shown = nil -- buf, all (suggestions), index, is_invoked
local asked = nil -- client, id, buf, tick, row, col
local timer = compat.uv.new_timer()

local function menu_is_open()
  if vim.fn.pumvisible() == 1 then
    return true
  end
  -- Menus that are windows of their own; they are asked only where they are loaded.
  for name, method in pairs({ cmp = "visible", ["blink.cmp"] = "is_visible" }) do
    local menu = package.loaded[name]
    if type(menu) == "table" and menu[method] and menu[method]() then
      return true
    end
  end
  return false
end

local function client_of(buf)
  local id = clients[buf]
  local client = id and vim.lsp.buf_is_attached(buf, id) and vim.lsp.get_client_by_id(id)
  return client and not compat.is_stopped(client) and client or nil
end

local function cursor()
  local place = vim.api.nvim_win_get_cursor(0)
  return vim.api.nvim_get_current_buf(), place[1] - 1, place[2]
end

--- Return how much of a suggestion stands before the cursor, nil where it does not fit.
local function reached(one, buf, row, col)
  local num_lines = select(2, one.text:gsub("\n", ""))
  if row < one.row or row > one.row + num_lines then
    return nil
  end
  return suggestion.reached(one, vim.api.nvim_buf_get_lines(buf, one.row, row + 1, false), col)
end

local function can_show()
  return vim.api.nvim_get_mode().mode:sub(1, 1) == "i"
    and vim.fn.reg_executing() == ""
    and not menu_is_open()
end

local function hide()
  if shown then
    ghost.clear(shown.buf)
    shown = nil
  end
end

local function cancel()
  timer:stop()
  if asked then
    compat.cancel(asked.client, asked.id)
    asked = nil
  end
end

--- Take back what is shown and what is under way.
function M.forget()
  cancel()
  hide()
end

--- Return the current suggestion and how much of it is before the cursor; nil where none fits.
local function current()
  local buf, row, col = cursor()
  if not shown or shown.buf ~= buf or not can_show() then
    return nil
  end
  local one = shown.all[shown.index]
  local length = reached(one, buf, row, col)
  if length and length < #one.text then
    return one, length
  end
end

--- Draw what is left of the current suggestion behind the cursor, or nothing where none fits.
local function redraw()
  local one, length = current()
  if not one then
    hide()
    return nil
  end
  local buf, row, col = cursor()
  ghost.draw(buf, row, col, one.text:sub(length + 1))
  return one
end

local function tell_shown(client, one, old)
  if not old or not vim.deep_equal(one.item.command, old.item.command) then
    compat.notify(client, DID_SHOW, { item = one.item })
  end
end

--- Return the suggestions of an answer that fit where the cursor is by now.
local function fitting(request, items)
  local buf, row, col = cursor()
  local old = shown and shown.buf == buf and shown.all[shown.index]
  local all = {}
  for _, item in ipairs(items) do
    local one =
      suggestion.new(item, request.row, request.col, request.line, request.client.offset_encoding)
    local before = one and old and reached(old, buf, one.row, one.col)
    one = before and suggestion.continued(old, before, one) or one
    if one and one.text ~= "" and reached(one, buf, row, col) then
      table.insert(all, one)
    end
  end
  return all, old
end

local function answered(request, result)
  local items = type(result) == "table" and (result.items or result) or {}
  if vim.api.nvim_get_current_buf() ~= request.buf then
    return
  end
  if #items == 0 then
    -- What is on the screen may still fit what was typed since; the next answer will tell.
    if request.tick == vim.api.nvim_buf_get_changedtick(request.buf) then
      hide()
    end
    return
  end
  local all, old = fitting(request, items)
  if #all > 0 then
    local index = request.advance and #all > 1 and 2 or 1
    shown = { buf = request.buf, all = all, index = index, is_invoked = request.kind == INVOKED }
    local one = redraw()
    if one then
      tell_shown(request.client, one, old)
    end
  end
end

local function ask(kind, advance)
  cancel()
  local buf, row, col = cursor()
  local client = client_of(buf)
  if not client or not can_show() then
    return
  end
  local line = vim.api.nvim_get_current_line()
  local request = { client = client, buf = buf, row = row, col = col, line = line, kind = kind }
  request.tick, request.advance = vim.api.nvim_buf_get_changedtick(buf), advance
  local params = {
    textDocument = { uri = vim.uri_from_bufnr(buf) },
    position = { line = row, character = compat.units(line, col, client.offset_encoding) },
    context = { triggerKind = kind },
  }
  asked = request
  local is_sent, id = compat.request(client, METHOD, params, function(err, result)
    if asked == request then
      asked = nil
      if not err then
        answered(request, result)
      end
    end
  end, buf)
  request.id = id
  if not is_sent then
    asked = nil
  end
end

local function ask_later()
  local buf = vim.api.nvim_get_current_buf()
  if client_of(buf) then
    timer:start(config.options.debounce_ms, 0, function()
      vim.schedule(function()
        if not asked or asked.tick ~= vim.api.nvim_buf_get_changedtick(0) then
          ask(AUTOMATIC)
        end
      end)
    end)
  end
end

local function changed()
  redraw()
  ask_later()
end

--- The cursor moved. Where nothing was typed, what was asked for another place is of no use.
local function moved()
  redraw()
  local buf, row, col = cursor()
  local is_elsewhere = asked and (asked.buf ~= buf or asked.row ~= row or asked.col ~= col)
  if is_elsewhere and asked.tick == vim.api.nvim_buf_get_changedtick(buf) then
    cancel()
  end
end

--- Whether a suggestion is on the screen.
function M.is_visible()
  return current() ~= nil
end

--- Ask for a suggestion at the cursor now.
function M.request()
  ask(INVOKED)
end

--- Show another of the suggestions, `step` further. Where there is one only, ask for more.
function M.select(step)
  if not shown then
    return
  end
  if #shown.all == 1 and not shown.is_invoked then
    return ask(INVOKED, true)
  end
  local old = shown.all[shown.index]
  shown.index = (shown.index - 1 + step) % #shown.all + 1
  local one, client = redraw(), client_of(vim.api.nvim_get_current_buf())
  if one and client then
    tell_shown(client, one, old)
  end
end

--- Insert `piece` at the cursor, in place of the `replaced` bytes behind it.
local function insert(buf, row, col, piece, replaced)
  local lines = vim.split(piece, "\n", { plain = true })
  vim.api.nvim_buf_set_text(buf, row, col, row, col + replaced, lines)
  local last = #lines[#lines] + (#lines == 1 and col or 0)
  vim.api.nvim_win_set_cursor(0, { row + #lines, last })
end

local function run_command(client, buf, command)
  if type(command) == "table" then
    local params = { command = command.command, arguments = command.arguments }
    compat.request(client, "workspace/executeCommand", params, function() end, buf)
  end
end

--- Insert what is shown: `part` is all, word or line. Return whether there was something.
function M.accept(part)
  local buf, row, col = cursor()
  local one, before = current()
  local client = client_of(buf)
  if not one or not client then
    return false
  end
  local rest = one.text:sub(before + 1)
  local piece = suggestion.piece(rest, part)
  local is_whole = piece == rest
  if is_whole then
    M.forget()
  end
  insert(buf, row, col, piece, is_whole and one.replaced or 0)
  if is_whole then
    run_command(client, buf, one.item.command)
  else
    local length = suggestion.utf16_length(one, before + #piece)
    compat.notify(client, DID_ACCEPT_PART, { item = one.item, acceptedLength = length })
  end
  changed()
  return true
end

--- Ask at the cursor if somebody is typing there and sees nothing: the server can answer now.
function M.refresh()
  if not shown and can_show() then
    ask_later()
  end
end

--- Serve a buffer with a client from now on.
function M.attach(client, buf)
  clients[buf] = client.id
  local group = vim.api.nvim_create_augroup("inkling_buffer_" .. buf, { clear = true })
  local function on(events, callback)
    vim.api.nvim_create_autocmd(events, { group = group, buffer = buf, callback = callback })
  end
  on({ "InsertEnter", "CompleteDone" }, ask_later)
  on("TextChangedI", changed)
  on("CursorMovedI", moved)
  on({ "TextChangedP", "CompleteChanged", "InsertLeave", "BufLeave" }, M.forget)
  on({ "BufUnload" }, function()
    clients[buf] = nil
  end)
  if buf == vim.api.nvim_get_current_buf() then
    M.refresh()
  end
end

--- Serve the buffers of a client no more; it is gone.
function M.detach(client_id)
  M.forget()
  for buf, id in pairs(clients) do
    if id == client_id then
      clients[buf] = nil
      pcall(vim.api.nvim_del_augroup_by_name, "inkling_buffer_" .. buf)
    end
  end
end

return M

using System.Buffers.Binary;
using System.Globalization;
using System.Numerics;
using System.Text;
using System.Text.Json;
using Gateway.Catalog;
using Microsoft.Win32.SafeHandles;

namespace Gateway.Discovery.EmbeddedCatalog;

/// <summary>
/// The catalog's file: <c>catalog.journal</c>, append only. In come <see cref="CatalogChange"/>s, out comes the same list at the
/// next start. Invariants: a change is written before it is served (kill -9 loses nothing that anybody saw), flushed to disk
/// before a registration is acknowledged (power loss loses nothing acknowledged), and no byte is ever thrown away unseen: an
/// unfinished last record is cut and reported, a damaged file is moved aside and what precedes the damage is kept.
/// </summary>
internal sealed class EmbeddedCatalogJournal : IDisposable
{
    // A record: length, CRC-32C of the payload, CRC-32C of these eight bytes; then the payload. The header's own checksum tells
    // a write that was cut short (header whole, payload short) from damage (header wrong).
    private const int HeaderBytes = 12;
    private const long RewriteBytesMin = 1 << 20;
    private static readonly byte[] Magic = "GWCAT01\n"u8.ToArray();

    private readonly string _directory;
    private readonly string _path;
    private readonly SemaphoreSlim _flushing = new(1, 1);
    private SafeFileHandle? _file;      // writer: whoever holds the store's lock
    private long _fileBytes;            // same
    private long _rewrittenBytes;       // same
    private long _written;              // logical position; written under the store's lock, read by committers
    private long _synced;               // written by the holder of _flushing and by Rewrite
    private string? _broken;            // why nothing can be written any more; set once

    private EmbeddedCatalogJournal(string directory)
    {
        _directory = directory;
        _path = Path.Combine(directory, "catalog.journal");
    }

    /// <summary>Position after the last change written.</summary>
    public long Written => Volatile.Read(ref _written);

    /// <summary>Why nothing can be written any more, or null.</summary>
    public string? Broken => Volatile.Read(ref _broken);

    /// <summary>Whether the file has outgrown its content and should be rewritten.</summary>
    public bool WantsRewrite => _fileBytes > RewriteBytesMin && _fileBytes > 4 * _rewrittenBytes;

    /// <summary>Opens or creates the journal in <paramref name="directory"/> and replays it.</summary>
    /// <param name="directory">Created when missing.</param>
    /// <param name="clock">For the name of a file moved aside.</param>
    /// <param name="replay">Called with every change, oldest first.</param>
    /// <param name="whole">
    /// The catalog as one change, asked for when the file must be written anew; true: changes may be lost that watchers saw.
    /// </param>
    /// <param name="problems">What was found wrong.</param>
    /// <exception cref="IOException">The directory cannot be used, or another process holds the journal.</exception>
    public static EmbeddedCatalogJournal Open(
        string directory,
        TimeProvider clock,
        Action<CatalogChange> replay,
        Func<bool, CatalogChange> whole,
        ICollection<Problem> problems)
    {
        Directory.CreateDirectory(directory);
        EmbeddedCatalogJournal journal = new(directory);
        bool damaged = false;

        if (File.Exists(journal._path))
        {
            // FileShare.None is flock(LOCK_EX): two processes writing one journal would tear it. The lock dies with its owner.
            SafeFileHandle file = File.OpenHandle(journal._path, FileMode.Open, FileAccess.ReadWrite, FileShare.None);
            long total = RandomAccess.GetLength(file);
            (long good, int changes, string? damage) = Replay(file, total, replay);
            if (damage is null)
            {
                if (good < total)
                {
                    // The last write was cut short by a crash. It was never served, let alone acknowledged.
                    RandomAccess.SetLength(file, good);
                    problems.Add(new Problem
                    {
                        Code = ProblemCodes.CatalogJournalTorn,
                        Place = journal._path,
                        Value = $"{total - good} bytes of an unfinished change at offset {good}",
                        Allowed = "whole changes",
                        Now = $"they were cut; the {changes} changes before them stand",
                    });
                }

                journal._file = file;
                journal._fileBytes = journal._rewrittenBytes = good;
                return journal;
            }

            damaged = true;
            string stamp = clock.GetUtcNow().ToString("yyyyMMdd-HHmmss", CultureInfo.InvariantCulture);
            string aside = $"{journal._path}.corrupt-{stamp}";
            for (int i = 2; File.Exists(aside); i++)
            {
                aside = $"{aside.Split('~')[0]}~{i}";
            }

            File.Move(journal._path, aside);
            file.Dispose();
            problems.Add(new Problem
            {
                Code = ProblemCodes.CatalogJournalCorrupt,
                Place = journal._path,
                Value = damage,
                Allowed = "whole changes, each with its right checksum",
                Now = $"the file was moved to {aside} and the {changes} changes before the damage stand; "
                    + "registrators repeat what is missing at their next synchronization",
            });
        }

        journal.Rewrite(whole(damaged));
        return journal;
    }

    /// <summary>Writes a change, not yet flushed. Caller: the holder of the store's lock.</summary>
    /// <exception cref="IOException">It was not written; the file is as before.</exception>
    public void Append(CatalogChange change)
    {
        if (_broken is not null)
        {
            throw new IOException(_broken);
        }

        // Closed: the file is a successor's by now. A probe may still come back with something to write.
        SafeFileHandle file = _file ?? throw new IOException($"{_path} is closed");
        byte[] record = Encode(change);
        try
        {
            RandomAccess.Write(file, record, _fileBytes);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            // Half a record may be there (disk full): cut it, or the next one would follow garbage.
            try
            {
                RandomAccess.SetLength(file, _fileBytes);
            }
            catch (Exception worse) when (worse is IOException or UnauthorizedAccessException)
            {
                Volatile.Write(ref _broken, $"{_path}: {worse.Message}");
            }

            throw new IOException($"{_path}: {failure.Message}", failure);
        }

        _fileBytes += record.Length;
        Volatile.Write(ref _written, _written + record.Length);
    }

    /// <summary>Returns when everything up to <paramref name="position"/> is on disk; many callers share one flush.</summary>
    /// <exception cref="IOException">The disk refuses; nothing may be acknowledged any more.</exception>
    public async ValueTask CommitAsync(long position)
    {
        while (Volatile.Read(ref _synced) < position)
        {
            await _flushing.WaitAsync();
            try
            {
                if (Volatile.Read(ref _synced) >= position)
                {
                    return;
                }

                if (Broken is { } broken)
                {
                    throw new IOException(broken);
                }

                long target = Written;
                SafeFileHandle file = Volatile.Read(ref _file) ?? throw new IOException($"{_path} is closed");
                await Task.Run(() => RandomAccess.FlushToDisk(file));
                Volatile.Write(ref _synced, Math.Max(target, Volatile.Read(ref _synced)));
            }
            catch (ObjectDisposedException) when (Volatile.Read(ref _file) is not null)
            {
                // Rewritten (and flushed) in between: look again.
            }
            catch (IOException failure)
            {
                // After a failed fsync nobody knows what is on disk (the kernel drops the dirty pages): stop acknowledging.
                Volatile.Write(ref _broken, $"{_path}: {failure.Message}");
                throw;
            }
            finally
            {
                _flushing.Release();
            }
        }
    }

    /// <summary>Replaces the file by one with <paramref name="whole"/> only: new file, flush, rename.</summary>
    /// <exception cref="IOException">It could not be replaced; the old one goes on.</exception>
    public void Rewrite(CatalogChange whole)
    {
        string temporary = _path + ".new";
        SafeFileHandle? file = null;
        try
        {
            // Locked before it gets its name, so no other process can open it in between.
            file = File.OpenHandle(temporary, FileMode.Create, FileAccess.ReadWrite, FileShare.None);
            byte[] record = Encode(whole);
            RandomAccess.Write(file, Magic, 0);
            RandomAccess.Write(file, record, Magic.Length);
            RandomAccess.FlushToDisk(file);
            File.Move(temporary, _path, overwrite: true);

            // From here on the new file is the journal, whatever fails later: writing to the old, nameless one would lose all.
            SafeFileHandle? old = _file;
            Volatile.Write(ref _file, file);
            file = null;
            _fileBytes = _rewrittenBytes = Magic.Length + record.Length;
            old?.Dispose();
            DirectoryFlush.Flush(_directory);
            Volatile.Write(ref _synced, _written);
        }
        catch (UnauthorizedAccessException failure)
        {
            throw new IOException(failure.Message, failure);
        }
        finally
        {
            file?.Dispose();
        }
    }

    /// <summary>Flushes and closes.</summary>
    public void Dispose()
    {
        SafeFileHandle? file = Interlocked.Exchange(ref _file, null);
        if (file is not null)
        {
            try
            {
                RandomAccess.FlushToDisk(file);
            }
            catch (IOException)
            {
                // Whatever had to be on disk was committed before it was acknowledged.
            }

            file.Dispose();
        }
    }

    private static byte[] Encode(CatalogChange change)
    {
        byte[] payload = CatalogChangeCodec.Encode(change);
        byte[] record = new byte[HeaderBytes + payload.Length];
        BinaryPrimitives.WriteInt32LittleEndian(record, payload.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(record.AsSpan(4), Checksum(payload));
        BinaryPrimitives.WriteUInt32LittleEndian(record.AsSpan(8), Checksum(record.AsSpan(0, 8)));
        payload.CopyTo(record, HeaderBytes);
        return record;
    }

    /// <summary>Replays what is whole; gives where that ends, how many changes it was, and the damage there, or null.</summary>
    private static (long Good, int Changes, string? Damage) Replay(SafeFileHandle file, long total, Action<CatalogChange> replay)
    {
        byte[] start = new byte[Magic.Length];
        if (RandomAccess.Read(file, start, 0) < Magic.Length || !start.AsSpan().SequenceEqual(Magic))
        {
            return (0, 0, $"no journal: it begins with '{Encoding.Latin1.GetString(start).Replace('\0', '.')}'");
        }

        long at = Magic.Length;
        int changes = 0;
        byte[] header = new byte[HeaderBytes];
        while (at < total)
        {
            // 1. The header: short is torn, wrong is damage, unless the rest is the zeros that a crashed file system leaves.
            if (total - at < HeaderBytes)
            {
                break;
            }

            ReadExactly(file, header, at);
            if (BinaryPrimitives.ReadUInt32LittleEndian(header.AsSpan(8)) != Checksum(header.AsSpan(0, 8)))
            {
                return AllZero(file, at, total) ? (at, changes, null) : (at, changes, $"wrong record header at offset {at}");
            }

            // 2. The payload: short is torn, wrong is damage.
            int length = BinaryPrimitives.ReadInt32LittleEndian(header);
            if (length > total - at - HeaderBytes)
            {
                break;
            }

            byte[] payload = new byte[length];
            ReadExactly(file, payload, at + HeaderBytes);
            if (BinaryPrimitives.ReadUInt32LittleEndian(header.AsSpan(4)) != Checksum(payload))
            {
                return (at, changes, $"wrong checksum of the record at offset {at}");
            }

            // 3. The change.
            try
            {
                replay(CatalogChangeCodec.Decode(payload));
            }
            catch (JsonException failure)
            {
                return (at, changes, $"unreadable record at offset {at}: {failure.Message}");
            }

            at += HeaderBytes + length;
            changes++;
        }

        return (at, changes, null);
    }

    private static void ReadExactly(SafeFileHandle file, Span<byte> buffer, long at)
    {
        while (buffer.Length > 0)
        {
            int read = RandomAccess.Read(file, buffer, at);
            if (read == 0)
            {
                throw new EndOfStreamException("The journal became shorter while it was read.");
            }

            buffer = buffer[read..];
            at += read;
        }
    }

    private static bool AllZero(SafeFileHandle file, long at, long total)
    {
        byte[] buffer = new byte[64 * 1024];
        while (at < total)
        {
            int read = RandomAccess.Read(file, buffer, at);
            if (read == 0 || buffer.AsSpan(0, read).ContainsAnyExcept((byte)0))
            {
                return read == 0;
            }

            at += read;
        }

        return true;
    }

    private static uint Checksum(ReadOnlySpan<byte> bytes)
    {
        uint crc = uint.MaxValue;
        for (; bytes.Length >= 8; bytes = bytes[8..])
        {
            crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(bytes));
        }

        foreach (byte last in bytes)
        {
            crc = BitOperations.Crc32C(crc, last);
        }

        return ~crc;
    }
}
